// Amplification of what pruning keeps. A NaN or an infinity survives a ratio of
// 0 as NaN: a damaged checkpoint must show.
#pragma once
#include "device.cuh"

struct Cut {
  u32 threshold; // bits of |threshold|
  float ratio;
  s64 index;
};
static_assert(sizeof(Cut) == 16, "kernels.go says so");

KERNEL mb_amplify(float *dst, const float *delta, const float *key, u64 n, s64 first, const Cut *cuts, u32 m) {
  for EACH(i, n) {
    u32 k = magnitude(key[i]);
    float ratio = 0;
    for (u32 j = 0; j < m; j++) {
      u32 t = cuts[j].threshold;
      if (k > t || (k == t && first + (s64)i >= cuts[j].index)) {
        ratio = cuts[j].ratio;
        break;
      }
    }
    dst[i] = ratio * delta[i];
  }
}

struct Chance {
  double rate;
  float ratio;
  u32 unused;
};
static_assert(sizeof(Chance) == 16, "kernels.go says so");

// uniform is kernel.Uniform: 53 bits of splitmix64.
DEVICE double uniform(u64 stream, u64 index) {
  u64 z = stream + (index + 1) * 0x9E3779B97F4A7C15ull;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ z >> 27) * 0x94D049BB133111EBull;
  return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

KERNEL mb_amplify_random(float *dst, const float *delta, u64 n, u64 first, u64 stream, const Chance *chances, u32 m) {
  for EACH(i, n) {
    double u = uniform(stream, first + i);
    float ratio = 0;
    for (u32 j = 0; j < m; j++) {
      if (u >= chances[j].rate) {
        ratio = chances[j].ratio;
        break;
      }
    }
    dst[i] = ratio * delta[i];
  }
}
