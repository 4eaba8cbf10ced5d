// Ranks of a row's elements by (|key|, index): a radix sort of the 31 bits, least
// significant digit first, which keeps the order of equal keys.
#pragma once
#include "select.cuh"

#define DIGIT 4u
#define DIGITS (1u << DIGIT)
#define PASSES 8u

KERNEL mb_rank(u32 *rank, const float *key, u64 rows, u64 width, u64 *scratch) {
  // A thread's own elements are consecutive, so that the order (digit, thread)
  // is the order (digit, index).
  SHARED u32 counts[DIGITS * THREADS];
  u64 *from = scratch + 2 * width * BLOCK, *to = from + width;
  u64 each = (width + THREADS - 1) / THREADS;
  u64 first = min64(width, THREAD * each), end = min64(width, first + each);
  for (u64 row = BLOCK; row < rows; row += BLOCKS) {
    for (u64 i = first; i < end; i++) from[i] = (u64)magnitude(key[row * width + i]) << 32 | i;
    for (u32 pass = 0; pass < PASSES; pass++) {
      u32 shift = 32 + DIGIT * pass;
      for (u32 d = 0; d < DIGITS; d++) counts[d * THREADS + THREAD] = 0;
      for (u64 i = first; i < end; i++) counts[(from[i] >> shift & (DIGITS - 1)) * THREADS + THREAD]++;
      BARRIER;
      // Counts become places: each thread sums as many of them as there are digits.
      u32 *own = counts + THREAD * DIGITS, sum = 0;
      for (u32 d = 0; d < DIGITS; d++) sum += own[d];
      u32 place = (u32)prefix(sum);
      for (u32 d = 0; d < DIGITS; d++) {
        u32 count = own[d];
        own[d] = place;
        place += count;
      }
      BARRIER;
      for (u64 i = first; i < end; i++) {
        u64 x = from[i];
        to[counts[(x >> shift & (DIGITS - 1)) * THREADS + THREAD]++] = x;
      }
      BARRIER;
      u64 *swap = from;
      from = to, to = swap;
    }
    for (u64 i = first; i < end; i++) rank[row * width + (u32)from[i]] = (u32)i;
  }
}
