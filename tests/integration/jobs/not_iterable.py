"""A job whose tasks() forgot to yield."""


def tasks():
    return 5


def work(n):
    return n
