"""A Scrapy spider that does what ours is compared with; run by ``crawl.py speed``, in an environment of its own.

python crawl_scrapy.py URL OUT main-text|all-text

Both kinds follow the links of one host and write URL, title, text and links (with anchor text) as JSON lines. The text
is trafilatura's, by its fast rules as in ours, or all text of the body by a selector. Scrapy's limits are off: no
delay, no throttling; robots.txt is obeyed.
"""

import sys
from urllib.parse import urlsplit

import peak  # noqa: F401  (tells how much memory this took)
import scrapy
import trafilatura
from scrapy.crawler import CrawlerProcess
from scrapy.linkextractors import LinkExtractor

ROOT, OUT, KIND = sys.argv[1:]
AT_ONCE = 8


class Spider(scrapy.Spider):
    name = "spider"
    start_urls = [ROOT]  # noqa: RUF012
    allowed_domains = [urlsplit(ROOT).hostname]  # noqa: RUF012
    extractor = LinkExtractor(unique=True)

    def parse(self, response):
        if not isinstance(response, scrapy.http.HtmlResponse):
            return
        links = self.extractor.extract_links(response)
        yield {
            "url": response.url,
            "title": response.css("title::text").get(),
            "text": main_text(response) if KIND == "main-text" else all_text(response),
            "links": [{"url": link.url, "text": link.text} for link in links],
        }
        for link in links:
            if urlsplit(link.url).netloc == urlsplit(ROOT).netloc:
                yield scrapy.Request(link.url.partition("#")[0])


def main_text(response):
    return trafilatura.extract(response.text, fast=True, include_comments=False, include_tables=True) or ""


def all_text(response):
    pieces = response.xpath("//body//text()[not(parent::script or parent::style)]").getall()
    return "\n".join(piece.strip() for piece in pieces if piece.strip())


process = CrawlerProcess(
    {
        "ROBOTSTXT_OBEY": True,
        "CONCURRENT_REQUESTS": 2 * AT_ONCE,
        "CONCURRENT_REQUESTS_PER_DOMAIN": AT_ONCE,
        "DOWNLOAD_DELAY": 0,
        "TELNETCONSOLE_ENABLED": False,
        "LOG_LEVEL": "WARNING",
        "USER_AGENT": "bench",
        "FEEDS": {OUT: {"format": "jsonlines", "overwrite": True}},
    }
)
process.crawl(Spider)
process.start()
