"""Published files: names, MD5 digests, sizes in bytes where known, and addresses.

Digests are those of torchvision 0.29.1 (MNIST, Fashion-MNIST, CIFAR), NAS-Bench-201 (ImageNet16), tonic
1.7.0 (N-MNIST, SHD, SSC, CIFAR10-DVS in AEDAT 4, cut gestures) and SpikingJelly 2.0.0 (CIFAR10-DVS, DVS128
Gesture); those of MNIST, Fashion-MNIST and nmnist_1100.npz were also computed from the files.
"""

from __future__ import annotations

from msenas_hw.data.place import File

THINGS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_MNIST_MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist"
_FASHION_HOME = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
_KRIZHEVSKY = "https://www.cs.toronto.edu/~kriz"
_MENDELEY = "https://data.mendeley.com/public-files/datasets/468j46mzdv/files"
_FIGSHARE = "https://ndownloader.figshare.com/files"
_ZENKE = "https://zenkelab.org/datasets"


def _idx_files(
    home: str, md5: tuple[str, ...], fetched: tuple[str, ...], sizes: tuple[int, ...]
) -> tuple[File, ...]:
    names = (
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    )
    return tuple(
        File(f"{name}.gz", plain, size, f"{home}/{name}.gz", packed)
        for name, plain, packed, size in zip(names, md5, fetched, sizes, strict=True)
    )


# Digests of the unpacked files come first: Debian packs them anew, so those of the packed files do not hold.
MNIST = _idx_files(
    _MNIST_MIRROR,
    ("6bbc9ace898e44ae57da46a324031adb", "a25bea736e30d166cdddb491f175f624",
     "2646ac647ad5339dbf082846283269ea", "27ae3e4e09519cfbb04c329615203637"),
    ("f68b3c2dcbeaaa9fbdd348bbdeb94873", "d53e105ee54ea40749a09fcbcd1e9432",
     "9fb629c4189551a2d022fa330f9573f3", "ec29112dd5afa0611ce80d1b7f02629c"),
    (9912422, 28881, 1648877, 4542),
)  # fmt: skip
FASHION = _idx_files(
    _FASHION_HOME,
    ("f4a8712d7a061bf5bd6d2ca38dc4d50a", "9018921c3c673c538a1fc5bad174d6f9",
     "8181f5470baa50b63fa0f6fddb340f0a", "15d484375f8d13e6eb1aabb0c3f46965"),
    ("8d4fb7e6c68d591d4c3dfef9ec88bf0d", "25c81989df183df01b3e8a0aad5dffbe",
     "bef4ecab320f06d8554ea6380940ec79", "bb300cfdad3c16e7a12a480ee83cd310"),
    (26421880, 29515, 4422102, 5148),
)  # fmt: skip
CIFAR10 = File(
    "cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a", 170498071,
    f"{_KRIZHEVSKY}/cifar-10-python.tar.gz",
)  # fmt: skip
CIFAR10_LOOSE = (
    File("data_batch_1", "c99cafc152244af753f735de768cd75f"),
    File("data_batch_2", "d4bba439e000b95fd0a9bffe97cbabec"),
    File("data_batch_3", "54ebc095f3ab1f0389bbae665268c751"),
    File("data_batch_4", "634d18415352ddfa80567beed471001a"),
    File("data_batch_5", "482c414d41f54cd18b22e5b47cb7c3cb"),
    File("test_batch", "40351d587109b95175f43aff81a1287e"),
)
CIFAR100 = File(
    "cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85", 169001437,
    f"{_KRIZHEVSKY}/cifar-100-python.tar.gz",
)  # fmt: skip
CIFAR100_LOOSE = (
    File("train", "16019d7e3df5f24257cddd939b257f8d"),
    File("test", "f0ef6b0ae62326f3e7ffdfab6717acfc"),
)
IMAGENET16 = (
    File("train_data_batch_1", "27846dcaa50de8e21a7d1a35f30f0e91"),
    File("train_data_batch_2", "c7254a054e0e795c69120a5727050e3f"),
    File("train_data_batch_3", "4333d3df2e5ffb114b05d2ffc19b1e87"),
    File("train_data_batch_4", "1620cdf193304f4a92677b695d70d10f"),
    File("train_data_batch_5", "348b3c2fdbb3940c4e9e834affd3b18d"),
    File("train_data_batch_6", "6e765307c242a1b3d7d5ef9139b48945"),
    File("train_data_batch_7", "564926d8cbf8fc4818ba23d2faac7564"),
    File("train_data_batch_8", "f4755871f718ccb653440b9dd0ebac66"),
    File("train_data_batch_9", "bb6dd660c38c58552125b1a92f86b5d4"),
    File("train_data_batch_10", "8f03f34ac4b42271a294f91bf480f29b"),
    File("val_data", "3410e3017fdaefba8d5073aaa65e4bd6"),
)
NMNIST = (
    File("train.zip", "20959b8e626244a1b502305a9e6e2031", None,
         f"{_MENDELEY}/39c25547-014b-4137-a934-9d29fa53c7a0/file_downloaded"),
    File("test.zip", "69ca8762b2fe404d9b9bad1103e97832", None,
         f"{_MENDELEY}/05a4d654-7e03-4c15-bdfa-9bb2bcbea494/file_downloaded"),
)  # fmt: skip
NMNIST_1100 = File("nmnist_1100.npz", "5af093db6eb5db1e0863c76bb045f77e", 15260525)
CIFAR10_DVS = tuple(
    File(f"{name}.zip", md5, None, f"{_FIGSHARE}/{number}")
    for name, md5, number in zip(
        THINGS,
        ("0afd5c4bf9ae06af762a77b180354fdd", "8438dfeba3bc970c94962d995b1b9bdd",
         "a9c207c91c55b9dc2002dc21c684d785", "52c63c677c2b15fa5146a8daf4d56687",
         "b6bf21f6c04d21ba4e23fc3e36c8a4a3", "f379ebdf6703d16e0a690782e62639c3",
         "cad6ed91214b1c7388a5f6ee56d08803", "e7cbbf77bec584ffbf913f00e682782a",
         "41c7bd7d6b251be82557c6cce9a7d5c9", "89f3922fd147d9aeff89e76a2b0b70a7"),
        (7712788, 7712791, 7712794, 7712812, 7712815, 7712818, 7712842, 7712851, 7712836, 7712839),
        strict=True,
    )
)  # fmt: skip
CIFAR10_DVS4 = File("CIFAR10DVS.zip", "ce3a4a0682dc0943703bd8f749a7701c", None, f"{_FIGSHARE}/38023437")
GESTURE = File("DvsGesture.tar.gz", "8a5c71fb11e24e5ca5b11866ca6c00a1")
GESTURE_CUT = (
    File("ibmGestureTrain.tar.gz", "3a8f0d4120a166bac7591f77409cb105", None, f"{_FIGSHARE}/38022171"),
    File("ibmGestureTest.tar.gz", "56070e45dadaa85fff82e0fbfbc06de5", None, f"{_FIGSHARE}/38020584"),
)
SHD = {
    "train": File("shd_train.h5.zip", "f3252aeb598ac776c1b526422d90eecb", None, f"{_ZENKE}/shd_train.h5.zip"),
    "test": File("shd_test.h5.zip", "1503a5064faa34311c398fb0a1ed0a6f", None, f"{_ZENKE}/shd_test.h5.zip"),
}
SSC = {
    "train": File("ssc_train.h5.zip", "d102be95e7144fcc0553d1f45ba94170", None, f"{_ZENKE}/ssc_train.h5.zip"),
    "validation": File(
        "ssc_valid.h5.zip", "b4eee3516a4a90dd0c71a6ac23a8ae43", None, f"{_ZENKE}/ssc_valid.h5.zip"
    ),
    "test": File("ssc_test.h5.zip", "a35ff1e9cffdd02a20eb850c17c37748", None, f"{_ZENKE}/ssc_test.h5.zip"),
}

_SETS: dict[str, tuple[File, ...]] = {
    "mnist": MNIST,
    "fashion-mnist": FASHION,
    "cifar-10": (CIFAR10, *CIFAR10_LOOSE),
    "cifar-100": (CIFAR100, *CIFAR100_LOOSE),
    "imagenet16-120": IMAGENET16,
    "nmnist": NMNIST,
    "nmnist-1100": (NMNIST_1100,),
    "cifar10-dvs": CIFAR10_DVS,
    "cifar10-dvs-aedat4": (CIFAR10_DVS4,),
    "dvs128-gesture": (GESTURE,),
    "dvs128-gesture-npy": GESTURE_CUT,
    "shd": tuple(SHD.values()),
    "ssc": tuple(SSC.values()),
}
# What a file is, by its digest.
NAMES = {file.md5: f"{file.name} of {name}" for name, files in _SETS.items() for file in files}
