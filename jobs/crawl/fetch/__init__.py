"""What a crawl does on the network: which addresses it reaches, a request, its answer, unpacked."""
