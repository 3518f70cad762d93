"""Three photographs, masks and a table in a ZIP archive and a gzipped TAR; COCO annotations of the same. Python 3.11, Pillow 13.0.0.

    pip install pillow==13.0.0 && python make.py
"""
import gzip
import io
import json
import tarfile
import zipfile

from PIL import Image


def png(image):
    bytes_ = io.BytesIO()
    image.save(bytes_, "PNG")
    return bytes_.getvalue()


files = {"photos/LICENSE.txt": b"CC-0\n", "photos/table.csv": b"image_id,sex\na0,female\na1,male\na2,\n"}
images, annotations = [], []
for index in range(3):
    photo = Image.new("RGB", (6, 4), (200 - 40 * index, 120, 90))
    mask = Image.new("L", (6, 4), 0)
    mask.paste(255, (1, 1, 4, 3))
    files[f"photos/images/a{index}.png"] = png(photo)
    files[f"photos/masks/a{index}_segmentation.png"] = png(mask)
    images.append({"id": index, "file_name": f"a{index}.png", "width": 6, "height": 4})
segmentations = [[[1, 1, 4, 1, 4, 3, 1, 3]], {"size": [4, 6], "counts": [5, 2, 2, 2, 2, 2, 9]}, {"size": [4, 6], "counts": "5220007"}]
for index, segmentation in enumerate(segmentations):
    annotations.append({"id": index, "image_id": index, "category_id": 1, "bbox": [1, 1, 3, 2], "segmentation": segmentation})

with zipfile.ZipFile("photos.zip", "w", zipfile.ZIP_DEFLATED) as archive:
    for name, content in files.items():
        archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
tar = io.BytesIO()
with tarfile.open(fileobj=tar, mode="w") as archive:
    for name, content in files.items():
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
with open("photos.tar.gz", "wb") as out:
    out.write(gzip.compress(tar.getvalue(), mtime=0))
with open("coco.json", "w") as out:
    json.dump({"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "lesion"}]}, out)
