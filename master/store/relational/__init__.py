"""What stores that speak SQL share: records as rows, and the verbs that read and write them.

An engine brings a `Database`, which runs statements by their names.
"""
