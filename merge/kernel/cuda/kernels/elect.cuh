// TIES: the elected sign, and the sum of those that agree with it, models in order.
#pragma once
#include "device.cuh"

// Vector says that an address of a list is one on the device's memory.
typedef const __attribute__((address_space(1))) float *Vector;

KERNEL mb_elect(float *sign, const Vector *v, u32 m, u64 n, float zero) {
  for EACH(i, n) {
    float sum = 0;
    for (u32 k = 0; k < m; k++) sum += v[k][i];
    sign[i] = sum > 0 ? 1 : sum < 0 ? -1 : zero;
  }
}

KERNEL mb_agree(float *dst, const float *sign, const Vector *v, const float *weights, u32 m, u64 n) {
  for EACH(i, n) {
    float s = sign[i], sum = 0, total = 0;
    for (u32 k = 0; k < m; k++) {
      float d = v[k][i];
      if ((d > 0 && s > 0) || (d < 0 && s < 0)) {
        sum += d;
        if (weights) total += weights[k];
      }
    }
    dst[i] = total != 0 ? sum / total : sum;
  }
}
