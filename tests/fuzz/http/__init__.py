"""Everything that can be sent to the site over HTTP, and what must hold of each answer."""
