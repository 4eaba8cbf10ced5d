// Package peertest holds no code of the program: its tests hold merged checkpoints and published models against
// transformers, safetensors, huggingface_hub, PEFT and mergekit, the programs that they are made for, and scores taken through
// `transformers serve` against those of the embedded engine, item by item.
//
// setup.sh installs the peers, several gigabytes; the tests that run them find them by MERGEBOT_PEERS_HEAVY, the
// folder given to it, and are skipped without. `make test-peers` does both. What the peers said is kept in golden,
// and tests that need none of them hold this program to it. The golden files are made anew, from the peers' words (but
// for the hashes of merged files, which are ours), by
//
//	MERGEBOT_PEERS_HEAVY=DIR go test ./eval/peertest -update
package peertest
