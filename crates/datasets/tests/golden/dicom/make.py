"""Small DICOM files by pydicom 3.0.2 and Pillow 13.0.0.

    pip install pydicom==3.0.2 pillow==13.0.0 numpy==2.4.6 && python make.py
"""
import io

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit

rows, columns = np.mgrid[:8, :12]
picture = np.stack([columns * 20, rows * 30, np.full_like(rows, 100)], axis=2).astype(np.uint8)


def write(name, syntax, pixels, colours, **more):
    data = Dataset()
    data.PatientName, data.PatientID = "Nobody^Known", "0"
    data.Rows, data.Columns, data.SamplesPerPixel = 8, 12, 3
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit, data.PixelRepresentation, data.PlanarConfiguration = 7, 0, 0
    data.PhotometricInterpretation = colours
    for key, value in more.items():
        setattr(data, key, value)
    data.PixelData = pixels
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.4"
    data.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    data.SOPClassUID, data.SOPInstanceUID = data.file_meta.MediaStorageSOPClassUID, "1.2.3"
    data.save_as(name, enforce_file_format=True)


write("plain.dcm", ExplicitVRLittleEndian, picture.tobytes(), "RGB")
jpeg = io.BytesIO()
Image.fromarray(picture).save(jpeg, "JPEG", quality=95, subsampling=0)
write("jpeg.dcm", JPEGBaseline8Bit, encapsulate([jpeg.getvalue()]), "YBR_FULL")
grey = picture[:, :, 0].tobytes()
write("grey.dcm", ExplicitVRLittleEndian, grey, "MONOCHROME2", SamplesPerPixel=1)
write("film.dcm", ExplicitVRLittleEndian, picture.tobytes() * 2, "RGB", NumberOfFrames=2)
