"""The table of sets: their files, samples, classes, licences and readers."""

from __future__ import annotations

from msenas_hw.data import published
from msenas_hw.data.digits import digits
from msenas_hw.data.readers import cifar, cifar10_dvs, gesture
from msenas_hw.data.readers.heidelberg import heidelberg
from msenas_hw.data.readers.idx import mnist_like
from msenas_hw.data.readers.nmnist import nmnist, unpacked
from msenas_hw.data.readers.nmnist_subset import nmnist_subset
from msenas_hw.data.saccades import SIDE
from msenas_hw.data.source import Source

_DIGITS = tuple("0123456789")
_CLOTHES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
_GESTURES = (
    "hand clapping", "right hand wave", "left hand wave", "right arm clockwise",
    "right arm counter-clockwise", "left arm clockwise", "left arm counter-clockwise", "arm roll",
    "air drums", "air guitar", "other",
)  # fmt: skip
_WORDS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
    "null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun",
)  # fmt: skip
_ORCHARD = "G. Orchard et al., Frontiers in Neuroscience 9 (2015)"
_AMIR = "A. Amir et al., CVPR 2017"
_LI = "H. Li et al., CIFAR10-DVS, Frontiers in Neuroscience 11 (2017)"
_KRIZHEVSKY_2009 = "A. Krizhevsky, Learning multiple layers of features from tiny images (2009)"
_CRAMER = "B. Cramer et al., IEEE TNNLS 33 (2022)"
_MNIST_COUNTS = {"train": 60000, "test": 10000}
_SIMULATED_COUNTS = {"train": 10000, "test": 2000}
_THOUSAND = {"train": 9000, "test": 1000}
_CONVENTION = "recordings 0 to 99 of each class, by convention; the publishers fixed none"
_IDX_MARKS = tuple(name for file in published.MNIST for name in (file.name, file.name.removesuffix(".gz")))
_NO_LICENCE = "none stated"
_DVS = (2, 128, 128)
_SIMULATED = (2, SIDE, SIDE)


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(str(number) for number in range(count))


_ROWS = (
    Source(
        name="digits",
        title="8 x 8 pictures of handwritten digits, embedded",
        kind="images",
        counts=({"train": 1297, "test": 500},),
        classes=_DIGITS,
        shape=(1, 8, 8),
        licence="not stated by scikit-learn; UCI lists CC BY 4.0 (unconfirmed)",
        page="https://archive.ics.uci.edu/dataset/80",
        cite="E. Alpaydin, C. Kaynak, UCI (1998)",
        test="the last 500 in the order of the file",
        levels=16,
        images=digits,
    ),
    Source(
        name="mnist",
        title="28 x 28 pictures of handwritten digits",
        kind="images",
        counts=(_MNIST_COUNTS,),
        classes=_DIGITS,
        shape=(1, 28, 28),
        licence="CC BY-SA 3.0 (as Keras states it)",
        page="http://yann.lecun.com/exdb/mnist",
        cite="Y. LeCun et al., Proc. IEEE 86 (1998)",
        files=published.MNIST,
        marks=_IDX_MARKS,
        folders=("mnist", "MNIST/raw"),
        images=mnist_like(*published.MNIST),
    ),
    Source(
        name="fashion-mnist",
        title="28 x 28 pictures of clothes",
        kind="images",
        counts=(_MNIST_COUNTS,),
        classes=_CLOTHES,
        shape=(1, 28, 28),
        licence="MIT",
        page="https://github.com/zalandoresearch/fashion-mnist",
        cite="H. Xiao et al., arXiv 1708.07747 (2017)",
        files=published.FASHION,
        marks=_IDX_MARKS,
        folders=("usr/share/datasets/fashion-mnist", "fashion-mnist", "FashionMNIST/raw"),
        per_class={"train": 6000, "test": 1000},
        mend="apt-get install dataset-fashion-mnist",
        images=mnist_like(*published.FASHION),
    ),
    Source(
        name="cifar-10",
        title="32 x 32 colour pictures of animals and vehicles",
        kind="images",
        counts=({"train": 50000, "test": 10000},),
        classes=published.THINGS,
        shape=(3, 32, 32),
        licence=_NO_LICENCE,
        page="https://www.cs.toronto.edu/~kriz/cifar.html",
        cite=_KRIZHEVSKY_2009,
        files=(published.CIFAR10,),
        marks=("cifar-10-python.tar.gz", "data_batch_1"),
        folders=("cifar-10", "cifar-10-batches-py"),
        per_class={"train": 5000, "test": 1000},
        images=cifar.archived(published.CIFAR10, published.CIFAR10_LOOSE, cifar.CIFAR10, "labels", 32),
    ),
    Source(
        name="cifar-100",
        title="32 x 32 colour pictures, fine classes",
        kind="images",
        counts=({"train": 50000, "test": 10000},),
        classes=_numbered(100),
        shape=(3, 32, 32),
        licence=_NO_LICENCE,
        page="https://www.cs.toronto.edu/~kriz/cifar.html",
        cite=_KRIZHEVSKY_2009,
        files=(published.CIFAR100,),
        marks=("cifar-100-python.tar.gz", "train"),
        folders=("cifar-100", "cifar-100-python"),
        per_class={"train": 500, "test": 100},
        images=cifar.archived(
            published.CIFAR100, published.CIFAR100_LOOSE, cifar.CIFAR100, "fine_labels", 32
        ),
    ),
    Source(
        name="imagenet16-120",
        title="16 x 16 colour pictures, the first 120 classes of ImageNet",
        kind="images",
        counts=({"train": 151700, "test": 6000},),
        classes=_numbered(120),
        shape=(3, 16, 16),
        licence="ImageNet's terms: research and teaching only",
        page="https://image-net.org/download-images",
        cite="P. Chrabaszcz et al., arXiv 1707.08819 (2017); X. Dong, Y. Yang, ICLR 2020",
        files=published.IMAGENET16,
        marks=("train_data_batch_1", "val_data"),
        folders=("imagenet16-120", "ImageNet16"),
        mend=(
            "register at image-net.org, get the 16 x 16 batches as NAS-Bench-201 names them "
            "(train_data_batch_1 to 10, val_data), and put them into a folder imagenet16-120 where "
            "MSENAS_DATA or data.folder points"
        ),
        test="ImageNet's validation part",
        images=cifar.loose_batches(published.IMAGENET16, cifar.IMAGENET16, 16, 120),
    ),
    Source(
        name="nmnist",
        title="N-MNIST: MNIST before a moving event camera",
        kind="recorded",
        counts=(_MNIST_COUNTS,),
        classes=_DIGITS,
        shape=(2, 34, 34),
        licence="CC BY-SA 4.0",
        page="https://www.garrickorchard.com/datasets/n-mnist",
        cite=_ORCHARD,
        files=published.NMNIST,
        marks=("train.zip", "Train", "test.zip"),
        folders=("nmnist", "NMNIST"),
        events=nmnist(*published.NMNIST),
        unverified=unpacked,
    ),
    Source(
        name="nmnist-1100",
        title="N-MNIST: its first 1,000 training and 100 test recordings",
        kind="recorded",
        counts=({"train": 1000, "test": 100},),
        classes=_DIGITS,
        shape=(2, 34, 34),
        licence="CC BY-SA 4.0",
        page="https://www.garrickorchard.com/datasets/n-mnist",
        cite=_ORCHARD,
        files=(published.NMNIST_1100,),
        marks=("nmnist_1100.npz",),
        folders=("", "nmnist-1100"),
        mend=("copy nmnist_1100.npz to a folder and name it in MSENAS_DATA or data.folder"),
        test="the first 100 of the official test part",
        folds=True,
        events=nmnist_subset(published.NMNIST_1100),
        small=True,
    ),
    Source(
        name="cifar10-dvs",
        title="CIFAR10-DVS: CIFAR-10 moved before an event camera, as published (AEDAT 2.0)",
        kind="recorded",
        counts=(_THOUSAND,),
        classes=published.THINGS,
        shape=_DVS,
        licence="see the page",
        page="https://figshare.com/articles/dataset/CIFAR10-DVS_New/4724671",
        cite=_LI,
        files=published.CIFAR10_DVS,
        marks=tuple(file.name for file in published.CIFAR10_DVS),
        folders=("cifar10-dvs", "CIFAR10DVS/download"),
        per_class={"train": 900, "test": 100},
        test=_CONVENTION,
        folds=True,
        events=cifar10_dvs.class_archives(published.CIFAR10_DVS),
    ),
    Source(
        name="cifar10-dvs-aedat4",
        title="CIFAR10-DVS: the copy converted to AEDAT 4, that tonic takes",
        kind="recorded",
        counts=(_THOUSAND,),
        classes=published.THINGS,
        shape=_DVS,
        licence="see the page",
        page="https://figshare.com/ndownloader/files/38023437",
        cite=_LI,
        files=(published.CIFAR10_DVS4,),
        marks=(published.CIFAR10_DVS4.name,),
        folders=("cifar10-dvs-aedat4", "CIFAR10DVS"),
        per_class={"train": 900, "test": 100},
        test=_CONVENTION,
        folds=True,
        events=cifar10_dvs.nested_archive(published.CIFAR10_DVS4, published.THINGS),
    ),
    Source(
        name="dvs128-gesture",
        title="DVS128 Gesture: the original recordings (AEDAT 3.1) cut by their labels",
        kind="recorded",
        counts=({"train": 1176, "test": 288},),
        classes=_GESTURES,
        shape=_DVS,
        licence="IBM's, in the LICENSE.txt beside the archive",
        page="https://ibm.ent.box.com/s/3hiq58ww1pbbjrinh367ykfdf60xsfm8/folder/50167556794",
        cite=_AMIR,
        files=(published.GESTURE,),
        marks=(published.GESTURE.name,),
        folders=("dvs128-gesture", "DVS128Gesture/download"),
        mend=(
            "download DvsGesture.tar.gz from https://ibm.ent.box.com/s/3hiq58ww1pbbjrinh367ykfdf60xsfm8 "
            "by hand and put it into a folder dvs128-gesture where MSENAS_DATA or data.folder points"
        ),
        test="official, users 24 to 29",
        events=gesture.original(published.GESTURE),
    ),
    Source(
        name="dvs128-gesture-npy",
        title="DVS128 Gesture: the copy cut up before, in whole milliseconds, that tonic takes",
        kind="recorded",
        counts=({"train": 1077, "test": 264},),
        classes=_GESTURES,
        shape=_DVS,
        licence="IBM's, as of dvs128-gesture",
        page="https://figshare.com/ndownloader/files/38022171",
        cite=_AMIR,
        files=published.GESTURE_CUT,
        marks=tuple(file.name for file in published.GESTURE_CUT),
        folders=("dvs128-gesture-npy", "DVSGesture"),
        test="official, users 24 to 29",
        events=gesture.preprocessed(*published.GESTURE_CUT),
    ),
    Source(
        name="shd",
        title="Spiking Heidelberg Digits: spoken digits through a model of the cochlea",
        kind="recorded",
        # The page names both splits of the 10,420 recordings; the files decide.
        counts=({"train": 8156, "test": 2264}, {"train": 8332, "test": 2088}),
        classes=_WORDS,
        shape=(1, 1, 700),
        licence="CC BY 4.0",
        page="https://zenkelab.org/resources/spiking-heidelberg-datasets-shd",
        cite=_CRAMER,
        files=tuple(published.SHD.values()),
        marks=tuple(file.name for file in published.SHD.values()),
        folders=("shd", "SHD/download", "SHD"),
        events=heidelberg(published.SHD),
    ),
    Source(
        name="ssc",
        title="Spiking Speech Commands: spoken words through a model of the cochlea",
        kind="recorded",
        counts=({"train": 75466, "validation": 9981, "test": 20382},),
        classes=_numbered(35),
        shape=(1, 1, 700),
        licence="CC BY 4.0",
        page="https://zenkelab.org/resources/spiking-heidelberg-datasets-shd",
        cite=_CRAMER,
        files=tuple(published.SSC.values()),
        marks=tuple(file.name for file in published.SSC.values()),
        folders=("ssc", "SSC/download", "SSC"),
        events=heidelberg(published.SSC),
    ),
    *(
        Source(
            name=f"{name}-saccade-sim",
            title=f"SIMULATED events: {name} pictures moved before a model of an event camera",
            kind="simulated",
            counts=(counts,),
            classes=classes,
            shape=_SIMULATED,
            licence=f"as of {name}",
            page=page,
            cite=f"pictures as of {name}; motion after {_ORCHARD}",
            based_on=name,
            test=f"that of {name}, its first",
        )
        for name, counts, classes, page in (
            ("digits", {"train": 1297, "test": 500}, _DIGITS, "https://archive.ics.uci.edu/dataset/80"),
            ("mnist", _SIMULATED_COUNTS, _DIGITS, "http://yann.lecun.com/exdb/mnist"),
            (
                "fashion-mnist",
                _SIMULATED_COUNTS,
                _CLOTHES,
                "https://github.com/zalandoresearch/fashion-mnist",
            ),
        )
    ),
)

SETS: dict[str, Source] = {row.name: row for row in _ROWS}
