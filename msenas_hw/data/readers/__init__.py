"""Readers of the original files: one format or set a module.

They read what `msenas_hw.data.place` verified, and raise what malformed bytes make them raise; the place
turns that into a `DataError` with the file's name.
"""
