"""What the console command ``faktory-tw`` is made of; :mod:`faktory_tw.cli` joins the parts."""
