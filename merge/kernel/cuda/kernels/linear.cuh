// Element by element, products and sums rounded one by one.
#pragma once
#include "device.cuh"

KERNEL mb_delta(float *dst, const float *base, const float *expert, u64 n) {
  for EACH(i, n) dst[i] = expert[i] - base[i];
}

KERNEL mb_scale(float *dst, const float *x, u64 n, float c) {
  for EACH(i, n) dst[i] = c * x[i];
}

KERNEL mb_divide(float *dst, const float *x, u64 n, float c) {
  for EACH(i, n) dst[i] = x[i] / c;
}

KERNEL mb_add_scaled(float *dst, const float *x, u64 n, float c) {
  for EACH(i, n) {
    float product = c * x[i];
    dst[i] = dst[i] + product;
  }
}
