"""The settings of the Django project of these tests."""

import os

SECRET_KEY = "of the tests"
USE_TZ = True
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
INSTALLED_APPS = ["shop"]
TASKS = {
    "default": {
        "BACKEND": "queue_manager.django.QuartermasterBackend",
        "QUEUES": ["default", "mail", "nobody", "in words"],
        # A slot has no QUEUE_AUTHKEY_FILE: what its tasks may enqueue is for the project to say.
        "OPTIONS": {"AUTHKEY_FILE": os.environ["SITE_KEY_FILE"]},
    },
    "again": {
        "BACKEND": "queue_manager.django.QuartermasterBackend",
        "OPTIONS": {"JOB": "django_again", "TAGS": {"default": []}},
    },
    "elsewhere": {
        "BACKEND": "queue_manager.django.QuartermasterBackend",
        "OPTIONS": {"HOST": "127.0.0.1", "PORT": 1, "TIMEOUT": 0.5},
    },
    "wrong": {
        "BACKEND": "queue_manager.django.QuartermasterBackend",
        "QUEUES": ["default", "in words"],
        "OPTIONS": {"HOSTS": "a", "PORT": "b"},
    },
    "of_wrong_types": {
        "BACKEND": "queue_manager.django.QuartermasterBackend",
        "OPTIONS": {"JOB": 5, "TIMEOUT": "soon", "TAGS": {"default": 7}},
    },
    "without_job": {
        "BACKEND": "queue_manager.django.QuartermasterBackend",
        "OPTIONS": {"JOB": None},
    },
    "without_time": {
        "BACKEND": "queue_manager.django.QuartermasterBackend",
        "OPTIONS": {"TIMEOUT": 0},
    },
}
