#!/bin/sh
# Compiles the kernels to PTX, the same bytes on every machine: compile.sh OUT (from this folder).
# It needs clang 19 (Debian: apt-get install clang-19) and no CUDA toolkit.
#   sm_75, ptx63          every GPU since Turing, every driver since CUDA 10
#   -ffp-contract=off     no fused multiply-add: bits equal the CPU's
#   -nocudainc -nocudalib device.cuh stands in for CUDA's headers
set -eu
cd "$(dirname "$0")"
exec "${CLANG:-clang-19}" -x cuda --cuda-device-only --cuda-gpu-arch=sm_75 --cuda-feature=+ptx63 \
  -nocudainc -nocudalib -std=c++17 -O2 -Wall -Wextra -Werror -ffp-contract=off -S mergebot.cu -o "$1"
