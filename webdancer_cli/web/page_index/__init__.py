"""An index on disk over files of pages: built once, opened in milliseconds, searched by many at once."""
