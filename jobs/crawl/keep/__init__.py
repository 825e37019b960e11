"""What stays of a crawl in its folder: files, thumbnails, the index, the contact sheet, counts."""
