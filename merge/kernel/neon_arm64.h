// What Go's assembler lacks, as its encoding: m, n and d are register numbers, in
// the order of Go's operands. S is 4 of fp32, D 2 of fp64.

#define FADDS(m, n, d) WORD $(0x4e20d400 | (m)<<16 | (n)<<5 | (d))
#define FSUBS(m, n, d) WORD $(0x4ea0d400 | (m)<<16 | (n)<<5 | (d)) // n − m
#define FMULS(m, n, d) WORD $(0x6e20dc00 | (m)<<16 | (n)<<5 | (d))
#define FDIVS(m, n, d) WORD $(0x6e20fc00 | (m)<<16 | (n)<<5 | (d)) // n / m
#define FABSS(n, d) WORD $(0x4ea0f800 | (n)<<5 | (d))
#define FADDD(m, n, d) WORD $(0x4e60d400 | (m)<<16 | (n)<<5 | (d))
#define FABSD(n, d) WORD $(0x4ee0f800 | (n)<<5 | (d))

// Masks of all ones where true: n > m, n = m, n > 0, n < 0, n = 0; integers n > m.
#define FCMGTS(m, n, d) WORD $(0x6ea0e400 | (m)<<16 | (n)<<5 | (d))
#define FCMEQS(m, n, d) WORD $(0x4e20e400 | (m)<<16 | (n)<<5 | (d))
#define FCMGT0S(n, d) WORD $(0x4ea0c800 | (n)<<5 | (d))
#define FCMLT0S(n, d) WORD $(0x4ea0e800 | (n)<<5 | (d))
#define FCMEQ0S(n, d) WORD $(0x4ea0d800 | (n)<<5 | (d))
#define CMGTS(m, n, d) WORD $(0x4ea03400 | (m)<<16 | (n)<<5 | (d))

// The lower and the upper half of n to twice the width; n to half the width, in
// the lower and the upper half of d.
#define WIDENS(n, d) WORD $(0x0e617800 | (n)<<5 | (d))
#define WIDENS2(n, d) WORD $(0x4e617800 | (n)<<5 | (d))
#define WIDENH(n, d) WORD $(0x0e217800 | (n)<<5 | (d))
#define WIDENH2(n, d) WORD $(0x4e217800 | (n)<<5 | (d))
#define NARROWH(n, d) WORD $(0x0e216800 | (n)<<5 | (d))
#define NARROWH2(n, d) WORD $(0x4e216800 | (n)<<5 | (d))
