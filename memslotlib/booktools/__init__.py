"""How the book is made: chapters executed, pages rendered, addresses kept.

``python -m memslotlib.booktools.build`` makes the site, ``python -m memslotlib.booktools.lab``
opens the chapters as notebooks. ``book/_ext`` hooks these functions into Sphinx. No chapter imports
this room: what it may use to draw lives in :mod:`memslotlib.views`.
"""
