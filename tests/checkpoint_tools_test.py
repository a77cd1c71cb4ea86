"""A checkpoint is a plain HDF5 file: h5py and h5dump read it, and its digests can be recomputed with
nothing but hashlib. Usage: checkpoint_tools_test.py path/to/write_sample_checkpoint"""

import hashlib
import subprocess
import sys
import tempfile
import unittest

import h5py
import numpy as np

PROGRAM = sys.argv.pop(1)


def blake2b(data):
    return hashlib.blake2b(data, digest_size=16).hexdigest()


class CheckpointTools(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.path = cls.folder.name + "/step-00001234.h5"
        subprocess.run([PROGRAM, cls.path], check=True, timeout=30)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_names_shapes_and_values(self):
        with h5py.File(self.path) as f:
            names = []
            f.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
            self.assertEqual(sorted(names), ["exchange/exponents", "meta/config", "meta/empty", "meta/note",
                                             "parameters/dense0.weight"])
            weight = f["parameters/dense0.weight"]
            self.assertEqual(weight.dtype, np.float32)
            np.testing.assert_array_equal(weight[()], np.arange(12, dtype=np.float32).reshape(3, 4) + 0.5)
            np.testing.assert_array_equal(f["exchange/exponents"][()], np.array([-126, 0, 126], np.int16))
            self.assertEqual(f["exchange/exponents"].dtype, np.int16)

    def test_scalars(self):
        with h5py.File(self.path) as f:
            self.assertEqual(f.attrs["format"], b"rondo-checkpoint")
            self.assertEqual(f.attrs["format_version"], 1)
            meta = f["meta"]
            self.assertEqual(meta.attrs["step"], 1234)
            self.assertEqual(meta.attrs["loss"], 0.1)
            self.assertEqual(len(meta.attrs), 22)
            self.assertEqual(meta["config"].asstr()[()], "c" * 100_000)
            self.assertEqual(meta["note"].asstr()[()], "größer")
            self.assertEqual(meta["empty"].asstr()[()], "")

    def test_digests(self):
        def check(name, item):
            if isinstance(item, h5py.Dataset):
                data = np.asarray(item[()]).tobytes() or b"\0"
                self.assertEqual(item.attrs["digest"].decode(), blake2b(data), name)

        with h5py.File(self.path) as f:
            f.visititems(check)
            self.assertEqual(f.userblock_size, 512)

    def test_seal(self):
        with open(self.path, "rb") as f:
            data = f.read()
        lines = data[:512].rstrip(b"\0").split(b"\n")
        self.assertEqual(lines[0], b"rondo-checkpoint 1")
        self.assertEqual(lines[1], b"bytes %d" % len(data))
        end = int(lines[2].removeprefix(b"structure "))
        sealed = b"".join(line + b"\n" for line in lines[:3]) + data[512:end]
        self.assertEqual(lines[3], b"digest " + blake2b(sealed).encode())

    def test_h5dump(self):
        dump = subprocess.run(["h5dump", "-A", self.path], capture_output=True, text=True, timeout=30)
        self.assertEqual(dump.returncode, 0, dump.stderr)
        for text in ('"rondo-checkpoint"', 'DATASET "dense0.weight"', "H5T_IEEE_F32LE", "( 3, 4 )"):
            self.assertIn(text, dump.stdout)


if __name__ == "__main__":
    unittest.main()
