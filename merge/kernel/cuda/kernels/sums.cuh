// Sums, as kernel.BlockSize defines them.
#pragma once
#include "device.cuh"

#define BLOCK_SIZE 4096u
#define LANES 16u

DEVICE u64 blocks_of(u64 n) { return (n + BLOCK_SIZE - 1) / BLOCK_SIZE; }

// sum_blocks writes the sum of each block of BLOCK_SIZE elements. A thread is one
// of a block's lanes and adds its elements in index order by element(sum, i);
// then the upper half of the lanes is folded onto the lower until one is left.
// All threads take the same number of turns, since they meet at barriers.
template <class Sum, class Element> DEVICE void sum_blocks(Sum *out, u64 n, Element element) {
  SHARED Sum sums[THREADS];
  u32 lane = THREAD % LANES;
  u64 blocks = blocks_of(n), turn = THREADS / LANES;
  for (u64 first = BLOCK * turn; first < blocks; first += BLOCKS * turn) {
    u64 block = first + THREAD / LANES; // behind the end, at the last turn
    u64 end = min64(n, (block + 1) * BLOCK_SIZE);
    Sum sum = Sum::none();
    for (u64 i = block * BLOCK_SIZE + lane; i < end; i += LANES) element(sum, i);
    sums[THREAD] = sum;
    for (u32 half = LANES / 2; half > 0; half /= 2) {
      BARRIER;
      if (lane < half) sums[THREAD].add(sums[THREAD + half]);
    }
    if (lane == 0 && block < blocks) out[block] = sums[THREAD];
    BARRIER;
  }
}

struct Stats {
  double abs, sq;
  float min, max; // of the elements that are not NaN
  u32 zeros, odd; // odd: NaN or infinite
  DEVICE_MEMBER static Stats none() { return {0, 0, __builtin_inff(), -__builtin_inff(), 0, 0}; }
  DEVICE_MEMBER void add(const Stats &s) {
    abs += s.abs, sq += s.sq;
    if (s.min < min) min = s.min;
    if (s.max > max) max = s.max;
    zeros += s.zeros, odd += s.odd;
  }
};
static_assert(sizeof(Stats) == 32, "kernels.go says so");

KERNEL mb_stats(Stats *out, const float *d, u64 n) {
  sum_blocks(out, n, [=](Stats &s, u64 i) {
    float x = d[i];
    u32 m = magnitude(x);
    double a = from_bits(m);
    s.abs += a, s.sq += a * a;
    if (x < s.min) s.min = x;
    if (x > s.max) s.max = x;
    s.zeros += m == 0, s.odd += m >= 0x7f800000u;
  });
}

struct Outliers {
  double abs;
  u64 count;
  DEVICE_MEMBER static Outliers none() { return {0, 0}; }
  DEVICE_MEMBER void add(const Outliers &o) { abs += o.abs, count += o.count; }
};
static_assert(sizeof(Outliers) == 16, "kernels.go says so");

KERNEL mb_outliers(Outliers *out, const float *d, u64 n, float above) {
  sum_blocks(out, n, [=](Outliers &o, u64 i) {
    float a = from_bits(magnitude(d[i]));
    if (a > above) o.abs += (double)a, o.count++;
  });
}

struct Product {
  double sum;
  DEVICE_MEMBER static Product none() { return {0}; }
  DEVICE_MEMBER void add(const Product &p) { sum += p.sum; }
};

KERNEL mb_dot(Product *out, const float *x, const float *y, u64 n) {
  sum_blocks(out, n, [=](Product &p, u64 i) { p.sum += (double)x[i] * (double)y[i]; });
}

// mb_signs counts: out is positive, negative.
KERNEL mb_signs(u64 *out, const float *x, u64 n) {
  SHARED u64 counts[2];
  if (THREAD < 2) counts[THREAD] = 0;
  BARRIER;
  u64 positive = 0, negative = 0;
  for EACH(i, n) {
    float v = x[i];
    positive += v > 0, negative += v < 0;
  }
  atomic_add(&counts[0], positive);
  atomic_add(&counts[1], negative);
  BARRIER;
  if (THREAD < 2) atomic_add(&out[THREAD], counts[THREAD]);
}
