"""Golden values for htl-datasets: scikit-image's CIELAB, an independent computation of lesion attributes on embedded
images, and small pictures in formats that our own encoder does not write.

Run: python make.py   (needs numpy, scipy, pillow, scikit-image; versions are written into golden.json)
"""
import csv
import json
import pathlib

import numpy as np
import PIL
import scipy
import scipy.ndimage
import skimage
from PIL import Image
from skimage.color import deltaE_cie76, rgb2lab

here = pathlib.Path(__file__).parent
embedded = here.parents[3] / "data-manifest" / "embedded"
rng = np.random.default_rng(20261123)

colours = np.concatenate([
    np.array([[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255], [1, 2, 3], [10, 10, 11], [128] * 3]),
    rng.integers(0, 256, (56, 3)),
]).astype(np.uint8)
lab = rgb2lab(colours[None])[0]

attributes = []
rows = list(csv.DictReader(open(embedded / "metadata.csv")))
for row in rows[:: len(rows) // 24]:
    # PNG copies of decoded JPEGs would be large: decoders differ by a level or two, so the test has a tolerance.
    rgb = np.asarray(Image.open(embedded / "images" / f"{row['image_id']}.jpg").convert("RGB"))
    mask = np.asarray(Image.open(embedded / "masks" / f"{row['image_id']}.png")) > 128
    side = min(mask.shape)
    distance = scipy.ndimage.distance_transform_edt(~mask)
    image_lab = rgb2lab(rgb)
    ring = ~mask & (distance > 0.02 * side) & (distance <= 0.12 * side) & (image_lab[..., 0] >= 20)
    lesion, skin = image_lab[mask].mean(0), image_lab[ring].mean(0) if ring.any() else None
    edge = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    attributes.append({
        "image_id": row["image_id"],
        "area_fraction": mask.mean(),
        "delta_e": None if skin is None else float(deltaE_cie76(lesion, skin)),
        "ita_degrees": None if skin is None else float(np.degrees(np.arctan2(skin[0] - 50, skin[2]))),
        "touches_border": bool(edge.any()),
    })

# Pictures: 6 x 4, whose pixels are also written down as they must be read.
pixels = rng.integers(0, 256, (4, 6, 3)).astype(np.uint8)
pictures = {}


def keep(name, image, expected, **options):
    image.save(here / name, **options)
    pictures[name] = np.asarray(expected, dtype=np.uint8).reshape(-1).tolist()


quantised = Image.fromarray(pixels).quantize(8)
keep("palette.png", quantised, quantised.convert("RGB"))
bits = rng.integers(0, 2, (4, 6)).astype(bool)
keep("one_bit.png", Image.fromarray(bits), np.repeat(bits[..., None] * 255, 3, 2))
grey16 = rng.integers(0, 65536, (4, 6)).astype(np.uint16)
keep("grey16.png", Image.fromarray(grey16), np.repeat(np.rint(grey16 / 257.0)[..., None], 3, 2))
alpha = rng.integers(0, 256, (4, 6, 1)).astype(np.uint8)
keep("rgba.png", Image.fromarray(np.concatenate([pixels, alpha], 2)), np.rint(pixels * (alpha / 255.0)))

smooth = np.asarray(Image.fromarray(pixels).resize((48, 32), Image.BICUBIC))
Image.fromarray(smooth).save(here / "progressive.jpg", quality=90, progressive=True)
Image.fromarray(smooth).save(here / "baseline.jpg", quality=90)
exif = Image.Exif()
exif[0x0112] = 6  # orientation: rotate by 90 degrees when shown
Image.fromarray(smooth).save(here / "oriented.jpg", quality=90, exif=exif)

json.dump({
    "versions": {"scikit-image": skimage.__version__, "scipy": scipy.__version__, "numpy": np.__version__,
                 "pillow": PIL.__version__},
    "rgb": colours.tolist(),
    "lab": lab.tolist(),
    "delta_e_to_next": [float(deltaE_cie76(lab[i], lab[(i + 1) % len(lab)])) for i in range(len(lab))],
    "attributes": attributes,
    "pictures": pictures,
}, open(here / "golden.json", "w"), indent=0)
