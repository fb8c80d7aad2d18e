"""Pages of whole sites: by a crawl, from saved files, or from WARC archives."""
