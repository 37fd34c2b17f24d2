"""The processor of ERNIE-4.5-VL as its published checkpoints bring it, shortened: images that need no resizing, no videos."""

import numpy as np
import torch
from transformers import BatchFeature, ProcessorMixin


class ImageProcessor:
    image_mean, image_std, rescale_factor = [0.5] * 3, [0.5] * 3, 1 / 255
    size = {"min_pixels": 28 * 28, "max_pixels": 112 * 112}  # noqa: RUF012


class Ernie4_5_VLProcessor(ProcessorMixin):
    attributes = ["tokenizer"]  # noqa: RUF012
    tokenizer_class = "AutoTokenizer"
    patch_size, spatial_conv_size, temporal_conv_size = 14, 2, 2

    def __init__(self, tokenizer=None, **_):
        self.image_processor = ImageProcessor()
        super().__init__(tokenizer)

    def __call__(self, text=None, images=None, videos=None, **_):
        pixels, grids = zip(*(self.patches(image) for image in images), strict=True) if images else ((), ())
        data = {"input_ids": torch.tensor(self.tokenizer(text)["input_ids"])}
        data["images"] = torch.cat(pixels) if pixels else None
        data["grid_thw"] = torch.tensor(grids) if grids else None
        return BatchFeature(data)

    def patches(self, image):
        """[patches, 3 * patch * patch], the four of a square one after the other, and (1, rows, columns)."""
        pixels = torch.from_numpy(np.asarray(image.convert("RGB")).copy()).permute(2, 0, 1)
        rows, columns = pixels.shape[1] // self.patch_size, pixels.shape[2] // self.patch_size
        merge = self.spatial_conv_size
        shape = (3, rows // merge, merge, self.patch_size, columns // merge, merge, self.patch_size)
        return pixels.reshape(shape).permute(1, 4, 2, 5, 0, 3, 6).reshape(rows * columns, -1), (1, rows, columns)
