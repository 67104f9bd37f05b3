"""The reference implementation of safetensors on the command line: version, list FILE, write FILE, break FROM TO HOW."""
import ctypes
import json
import struct
import sys

import safetensors


def list_file(path):
    with open(path, "rb") as file:
        tensors = safetensors.deserialize(file.read())
    for name, tensor in sorted(tensors):
        shape = ", ".join(str(size) for size in tensor["shape"])
        print(f"{name} {tensor['dtype']} [{shape}] {bytes(tensor['data']).hex()}")


def spec(dtype, shape, buffer):
    """One tensor as the package wants it: before 0.8 a dictionary."""
    if not hasattr(safetensors, "TensorSpec"):
        return {"dtype": dtype, "shape": shape, "data": bytes(buffer)}
    return safetensors.TensorSpec(dtype=dtype, shape=shape, data_ptr=ctypes.addressof(buffer), data_len=len(buffer))


def write_file(path):
    sizes = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint8": 1}
    buffers = {name: (ctypes.c_uint8 * (size * 6))(*range(size * 6)) for name, size in sizes.items()}
    tensors = {f"their {name} ä": spec(name, [3, 2], buffer) for name, buffer in buffers.items()}
    tensors["scalar"] = spec("float32", [], (ctypes.c_uint8 * 4).from_buffer(buffers["float64"]))
    safetensors.serialize_file(tensors, path, {"made by": "the reference"})


def break_file(source, target, how):
    with open(source, "rb") as file:
        content = file.read()
    (length,) = struct.unpack("<Q", content[:8])
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    last = max((name for name in header if name != "__metadata__"), key=lambda name: header[name]["data_offsets"])
    if how == "gap":
        data += b"\0"
    elif how == "overlap":
        header[last]["data_offsets"] = [offset - 1 for offset in header[last]["data_offsets"]]
    elif how == "dtype":
        header[last]["dtype"] = "X7"
    text = json.dumps(header).encode()
    stated = len(text) + (len(data) + 1 if how == "length" else 0)
    with open(target, "wb") as file:
        file.write(struct.pack("<Q", stated) + text + data)


if __name__ == "__main__":
    command, arguments = sys.argv[1], sys.argv[2:]
    if command == "version":
        print("safetensors", safetensors.__version__)
    else:
        {"list": list_file, "write": write_file, "break": break_file}[command](*arguments)
