"""`python bench/crawling/scrapy_spider.py START FOLDER`: the same crawl by Scrapy's FilesPipeline.

Run in an environment of its own (requirements.txt beside this). Politeness is off, raw bytes are
stored, and links and pictures are looked for as its documentation has it. Prints JSON.
"""

from __future__ import annotations

import json
import logging
import resource
import sys
import time
from collections.abc import Iterator
from typing import Any

import scrapy
from scrapy.crawler import CrawlerProcess
from scrapy.linkextractors import LinkExtractor

SETTINGS = {
    "ITEM_PIPELINES": {"scrapy.pipelines.files.FilesPipeline": 1},
    "ROBOTSTXT_OBEY": False,
    "CONCURRENT_REQUESTS": 16,
    "CONCURRENT_REQUESTS_PER_DOMAIN": 16,
    "DOWNLOAD_DELAY": 0,
    "AUTOTHROTTLE_ENABLED": False,
    "TELNETCONSOLE_ENABLED": False,
    "COOKIES_ENABLED": False,
    "LOG_LEVEL": "ERROR",
}


class Pictures(scrapy.Spider):  # type: ignore[misc]
    """Every page of one host, and the pictures on it."""

    name = "pictures"
    pages = 0

    def __init__(self, start: str, **words: Any) -> None:
        super().__init__(**words)
        self.start_urls = [start]
        self.links = LinkExtractor(allow_domains=[start.split("/")[2]])

    def parse(self, response: Any) -> Iterator[Any]:
        if not isinstance(response, scrapy.http.HtmlResponse):
            return
        self.pages += 1
        found = response.css("img::attr(src), link[rel*=icon]::attr(href)").getall()
        if found:
            yield {"file_urls": [response.urljoin(one) for one in found]}
        for link in self.links.extract_links(response):
            yield scrapy.Request(link.url)


def main() -> None:
    """Crawl, and print what it took."""
    logging.disable(logging.ERROR)
    start, folder = sys.argv[1:3]
    process = CrawlerProcess({**SETTINGS, "FILES_STORE": folder})
    crawler = process.create_crawler(Pictures)
    process.crawl(crawler, start=start)
    began, used = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
    process.start()
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    stats = crawler.stats.get_stats()
    images = stats.get("file_status_count/downloaded", 0)
    took_s = time.monotonic() - began
    pages = crawler.spider.pages
    print(json.dumps({"pages": pages, "images": images, "s": took_s, "cpu_s": cpu_s}))


if __name__ == "__main__":
    main()
