"""A rank of a library for Python, for perf_compare: PyTorch's Gloo backend, or PCCL.

  peer_python.py torch|pccl LIBPERF_RANK SOCKET RANK WORLD STORE_FOLDER ADDRESS
  peer_python.py probe torch|pccl       "ready", or what keeps it from loading

The measuring lines are those of rank.c, loaded as a shared library, like everybody's: only the calls come back to Python,
which adds some microseconds to each.
"""
import ctypes
import importlib
import importlib.metadata
import os
import socket
import sys
import time

try:
    import numpy
except ImportError:
    numpy = None  # probe() says so

COLLECTIVES = ["allreduce", "reduce_scatter", "allgather", "broadcast", "reduce", "alltoall", "barrier"]
START_S = 60.0

CALL = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
FORGET = ctypes.CFUNCTYPE(None)


class Library(ctypes.Structure):  # struct perf_library
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("rank", ctypes.c_int),
        ("world", ctypes.c_int),
        ("calls", CALL * len(COLLECTIVES)),
        ("many", ctypes.c_void_p),
        ("forget", FORGET),
    ]


class Buffers:
    """Arrays over the caller's memory; made once per buffer, because making one takes long."""

    def __init__(self, wrap):
        self.wrap = wrap
        self.known = {}

    def at(self, address, count):
        if (address, count) not in self.known:
            memory = (ctypes.c_float * count).from_address(address)
            self.known[address, count] = self.wrap(numpy.ctypeslib.as_array(memory))
        return self.known[address, count]


class Torch:
    def __init__(self, rank, world, store, address):
        import torch
        import torch.distributed as dist

        torch.set_num_threads(1)
        name = interface_of(address)
        if name:
            os.environ["GLOO_SOCKET_IFNAME"] = name
        dist.init_process_group("gloo", init_method=f"file://{store}/torch", rank=rank, world_size=world)
        self.dist, self.rank, self.world = dist, rank, world
        self.name = f"PyTorch {torch.__version__} Gloo"
        self.buffers = Buffers(torch.from_numpy)
        self.names = [name for name in COLLECTIVES if self.has(name)]

    def has(self, name):
        """Whether this version's Gloo backend knows it: found by trying, on all ranks alike."""
        memory = numpy.zeros(2 * self.world, dtype=numpy.float32)
        try:
            getattr(self, name)(memory.ctypes.data, memory.ctypes.data + 4 * self.world, 1)
            return True
        except RuntimeError:
            return False

    def both(self, send, recv, send_count, recv_count):
        return self.buffers.at(send, send_count), self.buffers.at(recv, recv_count)

    def in_place(self, send, recv, count):
        """It reduces in place: out of place begins with a copy."""
        source, target = self.both(send, recv, count, count)
        if send != recv:
            target.copy_(source)
        return target

    def allreduce(self, send, recv, count):
        self.dist.all_reduce(self.in_place(send, recv, count))

    def reduce_scatter(self, send, recv, count):
        source, target = self.both(send, recv, count * self.world, count)
        self.dist.reduce_scatter_tensor(target, source)

    def allgather(self, send, recv, count):
        source, target = self.both(send, recv, count, count * self.world)
        self.dist.all_gather_into_tensor(target, source)

    def broadcast(self, send, recv, count):
        self.dist.broadcast(self.buffers.at(send if self.rank == 0 else recv, count), 0)

    def reduce(self, send, recv, count):
        self.dist.reduce(self.in_place(send, recv, count), 0)

    def alltoall(self, send, recv, count):
        source, target = self.both(send, recv, count * self.world, count * self.world)
        self.dist.all_to_all_single(target, source)

    def barrier(self, *_):
        self.dist.barrier()


class Pccl:
    names = ["allreduce", "barrier"]

    def __init__(self, rank, world, store, address):
        load_cuda_driver()
        import pccl

        self.pccl = pccl
        self.name = "PCCL " + importlib.metadata.version("pypccl")
        self.buffers = Buffers(lambda array: array)
        self.one = numpy.ones(1, dtype=numpy.float32)
        self.sum = numpy.ones(1, dtype=numpy.float32)
        if rank == 0:
            self.start_master(store, address)
        self.comm = pccl.Communicator(wait_for(lambda: read(f"{store}/pccl")))
        self.comm.connect()
        wait_for(lambda: self.everybody_is_here(world))

    def start_master(self, store, address):
        with socket.socket() as probe:
            probe.bind((address, 0))
            where = f"{address}:{probe.getsockname()[1]}"
        self.master = self.pccl.MasterNode(where)
        self.master.run()
        with open(f"{store}/pccl.new", "w") as file:
            file.write(where)
        os.rename(f"{store}/pccl.new", f"{store}/pccl")

    def everybody_is_here(self, world):
        if self.comm.get_attribute(self.pccl.Attribute.GLOBAL_WORLD_SIZE) == world:
            return True
        if self.comm.are_peers_pending():
            self.comm.update_topology()
        return False

    def allreduce(self, send, recv, count):
        source = self.buffers.at(send, count)
        self.comm.all_reduce(source, self.buffers.at(recv, count), op=self.pccl.ReduceOp.SUM)

    def barrier(self, *_):
        """It has none."""
        self.comm.all_reduce(self.one, self.sum, op=self.pccl.ReduceOp.SUM)


def load_cuda_driver():
    """PCCL is linked against it: no_cuda.c stands in where there is none."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        ctypes.CDLL(os.path.join(os.path.dirname(os.path.abspath(__file__)), "no_cuda", "libcuda.so.1"))


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except FileNotFoundError:
        return None


def wait_for(condition):
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        result = condition()
        if result:
            return result
        time.sleep(0.01)
    raise TimeoutError("the others did not come up")


def interface_of(address):
    """The interface that has this address, as Gloo wants to be told."""
    import fcntl
    import struct

    with socket.socket() as probe:
        for _, name in socket.if_nameindex():
            try:
                got = fcntl.ioctl(probe, 0x8915, struct.pack("256s", name.encode()))  # SIOCGIFADDR
            except OSError:
                continue
            if socket.inet_ntoa(got[20:24]) == address:
                return name
    return None


def guarded(call, texts):
    """Exceptions become texts, which have to outlive the call."""

    def run(send, recv, count):
        try:
            call(send, recv, count)
            return None
        except Exception as error:  # whatever the library raises
            texts.append(ctypes.create_string_buffer(repr(error).replace("\n", " ").encode()))
            return ctypes.addressof(texts[-1])

    return CALL(run)


def probe(kind):
    try:
        if kind == "pccl":
            load_cuda_driver()
        importlib.import_module(kind)
        importlib.import_module("numpy")
        print("ready")
    except Exception as error:
        print(str(error).split(".  ")[0].replace("\n", " "))


def main():
    if sys.argv[1:2] == ["probe"] and len(sys.argv) == 3:
        probe(sys.argv[2])
        return 0
    if len(sys.argv) != 8 or sys.argv[1] not in ("torch", "pccl"):
        print(__doc__, file=sys.stderr)
        return 2
    kind, perf_rank, driver, rank, world, store, address = sys.argv[1:]
    perf = ctypes.CDLL(perf_rank)
    perf.perf_die_with_parent()
    adapter = {"torch": Torch, "pccl": Pccl}[kind](int(rank), int(world), store, address)
    texts = []
    library = Library(name=adapter.name.encode(), rank=int(rank), world=int(world))
    for index, name in enumerate(COLLECTIVES):
        if name in adapter.names:
            library.calls[index] = guarded(getattr(adapter, name), texts)
    library.forget = FORGET(adapter.buffers.known.clear)
    return perf.perf_serve(ctypes.byref(library), driver.encode())


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # neither library ends well while its peers are leaving, too
