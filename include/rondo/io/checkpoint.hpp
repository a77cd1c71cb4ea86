/// Checkpoint files: a `Snapshot` as one HDF5 file that h5dump and h5py read too.
///
/// Layout, "rondo-checkpoint" version 1, in the HDF5 file format that every release reads:
///   bytes 0-511  a text in HDF5's user block, padded with zeros:
///                  rondo-checkpoint 1
///                  bytes <size of the file>
///                  structure <end of HDF5's structure; behind it is only raw data>
///                  digest <BLAKE2b-128 in hex of the three lines above and of bytes 512 to that end>
///   /            attributes `format` = "rondo-checkpoint" and `format_version` = 1
///   /meta        each integer and real scalar as an attribute, each text as a scalar text dataset
///   /<name>      each array as a contiguous dataset; '/' in a name makes groups
/// Every dataset, texts too, has an attribute `digest`: BLAKE2b-128 of its bytes in hex.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "rondo/core/state.hpp"

namespace rondo {

/// The file as bytes in memory. The same snapshot gives the same bytes. Names of arrays must not start
/// with "meta/"; texts must not contain NUL. Takes the snapshot in order to let go of it early; holds the
/// HDF5 lock while copying, not while digesting.
std::vector<std::byte> checkpoint_image(Snapshot snapshot);

/// Reads and verifies a file. Arrays come in the order of their names. Throws InputError, one line with
/// the file, the dataset and the remedy, for whatever is wrong with it: missing, truncated, no checkpoint,
/// another version, a damaged byte. Never allocates more than about the size of the file.
Snapshot read_checkpoint(const std::string& path);

}  // namespace rondo
