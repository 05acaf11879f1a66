"""What pages look like to whom: templates, files, languages, preferences, addresses."""
