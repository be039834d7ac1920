"""Pictures of one's own: a folder of them, MNIST's cousins in IDX, or arrays in an NPZ file.

`open_images` reads labelled pictures to train with, `iter_images` streams pictures to predict, and
`ImagePreprocessor` makes of both what a network takes.

Whatever they come from, pictures become bytes, (N, C, H, W), by these rules:

- A set is grey (C = 1) where all its pictures are, else of colours (C = 3). A picture is grey by
  the mode it is stored in (a palette of greys counts), not by the values of its pixels.
- A grey picture among colours, or given to a model of colours, has its value in all three channels.
- A picture of colours given to a grey model is weighed as in ITU-R BT.601:
  0.299 R + 0.587 G + 0.114 B.
- What is transparent is laid over white.
- 16 bits become 8, rounded: 65535 is 255.
- A photograph is turned as its EXIF orientation says. Of an animation the first picture counts.
- ``resize`` stretches a whole picture to the size asked for (bilinear, antialiased); without it,
  all must have one size.
"""

from handgrad.images.image_set import ImageBatch, ImageSet
from handgrad.images.opening import files_read, holds_images, iter_images, open_images
from handgrad.images.preprocessor import ImagePreprocessor

__all__ = [
    "ImageBatch",
    "ImagePreprocessor",
    "ImageSet",
    "files_read",
    "holds_images",
    "iter_images",
    "open_images",
]
