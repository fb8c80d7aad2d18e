"""Documents as pages: main text, title and links, and what is no page."""
