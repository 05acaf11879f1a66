"""What some jobs of a crash test ask of the features, and what has to be true of them then: a file a feature.

This is where a further feature joins the torture: a `Trait` (trait.py) that marks a part of the jobs, or plays a role of its
own, knows when a job may be refused or gone, and looks for what is wrong at the end, in the `Ledger` and in the rows that
the feature keeps. standard.py names them all.
"""
