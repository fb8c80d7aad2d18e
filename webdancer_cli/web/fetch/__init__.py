"""Documents of the web, fetched politely and safely."""
