// One module of all kernels.
#include "maps.cuh"
#include "conv.cuh"
#include "norm.cuh"
#include "pool.cuh"
#include "resize.cuh"
#include "loss.cuh"
#include "optim.cuh"
#include "augment.cuh"
