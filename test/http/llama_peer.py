"""llama.cpp's server, with a model of random numbers, for tests.

    python3 test/http/llama_peer.py LOG

Prints its port once it answers; ends with this program.  The model knows the
256 bytes as words, and a text of more than 500 bytes is too long to embed.
"""

import ctypes
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import numpy
from gguf import GGUFWriter, TokenType

WIDTH, HEADS, HIDDEN = 32, 2, 64
CONTEXT = 512
START_SECONDS = 60
PR_SET_PDEATHSIG = 1
# What one says is all there is: no roles, no words of the template's own.
TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}"


def words():
    yield b"<unk>", TokenType.UNKNOWN
    yield b"<s>", TokenType.CONTROL
    yield b"</s>", TokenType.CONTROL
    for byte in range(256):
        yield b"<0x%02X>" % byte, TokenType.BYTE


def write_model(path):
    """A model of one layer, as llama.cpp's own converters write larger ones."""
    model = GGUFWriter(path, "llama")
    texts, types = zip(*words())
    numbers = numpy.random.default_rng(1)

    def matrix(name, rows, columns):
        model.add_tensor(name, numbers.standard_normal((rows, columns)).astype(numpy.float32) / 4)

    def ones(name):
        model.add_tensor(name, numpy.ones(WIDTH, dtype=numpy.float32))

    model.add_context_length(CONTEXT)
    model.add_embedding_length(WIDTH)
    model.add_block_count(1)
    model.add_feed_forward_length(HIDDEN)
    model.add_head_count(HEADS)
    model.add_head_count_kv(HEADS)
    model.add_rope_dimension_count(WIDTH // HEADS)
    model.add_layer_norm_rms_eps(1e-5)
    model.add_vocab_size(len(texts))
    model.add_tokenizer_model("llama")
    model.add_token_list(texts)
    model.add_token_scores([0.0] * len(texts))
    model.add_token_types(types)
    model.add_unk_token_id(0)
    model.add_bos_token_id(1)
    model.add_eos_token_id(2)
    for name in "token_embd", "output":
        matrix(name + ".weight", len(texts), WIDTH)
    for part in "attn_q", "attn_k", "attn_v", "attn_output":
        matrix("blk.0.%s.weight" % part, WIDTH, WIDTH)
    matrix("blk.0.ffn_gate.weight", HIDDEN, WIDTH)
    matrix("blk.0.ffn_up.weight", HIDDEN, WIDTH)
    matrix("blk.0.ffn_down.weight", WIDTH, HIDDEN)
    for name in "output_norm", "blk.0.attn_norm", "blk.0.ffn_norm":
        ones(name + ".weight")
    model.write_header_to_file()
    model.write_kv_data_to_file()
    model.write_tensors_to_file()
    model.close()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def end_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main(log):
    with tempfile.TemporaryDirectory() as folder, open(log, "wb") as out:
        write_model(folder + "/model.gguf")
        with open(folder + "/template", "w", encoding="ascii") as f:
            f.write(TEMPLATE)
        port = free_port()
        server = subprocess.Popen(
            ["llama-server", "--host", "127.0.0.1", "--port", str(port), "--model", folder + "/model.gguf",
             "--embeddings", "--pooling", "mean", "--ctx-size", str(4 * CONTEXT), "--parallel", "4",
             "--threads", "1", "--threads-http", "4", "--jinja", "--chat-template-file", folder + "/template"],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, preexec_fn=end_with_parent)
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and server.poll() is None:
            try:
                with urllib.request.urlopen("http://127.0.0.1:%d/health" % port):
                    break
            except OSError:
                time.sleep(0.1)
        # It has read what it needs: this program may be killed at any time.
        print(port, flush=True)
    server.wait()


if __name__ == "__main__":
    main(sys.argv[1])
