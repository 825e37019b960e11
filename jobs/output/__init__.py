"""What jobs leave for people: the folder of `out=`, pages, charts, and texts of numbers and times.

The jobs of this folder share it. It knows nothing of any of them.
"""
