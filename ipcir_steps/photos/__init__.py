"""Search your own photos: ``ipcir index``, ``ipcir search`` and ``ipcir serve``.

Nothing is computed here that a step of the workflow computes: captions, layouts, proxies, features, text side, fusion
and ranking are the steps' own functions, called for one query (docs/photos.md).
"""
