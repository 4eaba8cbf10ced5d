// Storage formats: as merge/kernel/format.go, bit for bit.
#pragma once
#include "device.cuh"

// from_half moves the exponent by a multiplication, which also normalises
// subnormals.
DEVICE float from_half(u16 h) {
  u32 sign = (u32)(h & 0x8000u) << 16, m = h & 0x7fffu;
  if (m > 0x7c00u) m |= 0x200u; // NaN, made quiet
  if (m >= 0x7c00u) return from_bits(sign | 0x7f800000u | (m & 0x3ffu) << 13);
  return from_bits(sign | bits(from_bits(m << 13) * 0x1p112f));
}

DEVICE u16 to_half(float x) {
  u32 b = bits(x), sign = b >> 16 & 0x8000u;
  b &= 0x7fffffffu;
  if (b > 0x7f800000u) return (u16)(sign | 0x7e00u | (b >> 13 & 0x3ffu)); // NaN, made quiet
  if (b >= 0x47800000u) return (u16)(sign | 0x7c00u);                     // 65536 and above
  if (b < 0x38800000u) // subnormal: adding 1/2 rounds at 2^-24
    return (u16)(sign | (bits(from_bits(b) + 0.5f) - 0x3f000000u));
  b += 0xfffu + (b >> 13 & 1u);
  return (u16)(sign | (b - 0x38000000u) >> 13); // a carry into 0x7c00 is overflow to Inf
}

DEVICE float from_brain(u16 b) { return from_bits((u32)b << 16); }

DEVICE u16 to_brain(float x) {
  u32 b = bits(x);
  if ((b & 0x7fffffffu) > 0x7f800000u) return (u16)(b >> 16 | 0x40u);
  return (u16)((b + 0x7fffu + (b >> 16 & 1u)) >> 16);
}

KERNEL mb_decode_bf16(float *dst, const u16 *src, u64 n) {
  for EACH(i, n) dst[i] = from_brain(src[i]);
}

KERNEL mb_decode_f16(float *dst, const u16 *src, u64 n) {
  for EACH(i, n) dst[i] = from_half(src[i]);
}

KERNEL mb_encode_bf16(u16 *dst, const float *src, u64 n) {
  for EACH(i, n) dst[i] = to_brain(src[i]);
}

KERNEL mb_encode_f16(u16 *dst, const float *src, u64 n) {
  for EACH(i, n) dst[i] = to_half(src[i]);
}

KERNEL mb_round_bf16(float *dst, const float *src, u64 n) {
  for EACH(i, n) dst[i] = from_brain(to_brain(src[i]));
}

KERNEL mb_round_f16(float *dst, const float *src, u64 n) {
  for EACH(i, n) dst[i] = from_half(to_half(src[i]));
}
