// The operations of kernel.Device on the memory of a GPU. `make ptx` compiles
// them; kernels.go says how each is launched.
#include "amplify.cuh"
#include "elect.cuh"
#include "format.cuh"
#include "linear.cuh"
#include "rank.cuh"
#include "select.cuh"
#include "sums.cuh"
