// Small texts: sizes, lists, printf into a string, and the `key=value` lines that our processes say
// to each other.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rhz::tools {

std::string format(const char* pattern, ...) __attribute__((format(printf, 1, 2)));

// "4096", "4KiB", "64 MiB", "1MB" (10^6), "2GiB"; nothing when it is no size or over 2^63.
std::optional<uint64_t> parse_bytes(std::string_view text);
// 65536 → "64 KiB"; a number that is no multiple keeps its bytes.
std::string bytes_text(uint64_t bytes);

std::vector<std::string> split(std::string_view text, char separator);

// The value of `key` in "word key=value key=\"quoted value\"", or an empty one.
std::string_view field(std::string_view line, std::string_view key);
double number(std::string_view line, std::string_view key, double otherwise = 0);
uint64_t whole(std::string_view line, std::string_view key, uint64_t otherwise = 0);

// CLOCK_MONOTONIC, which all processes of a host share.
uint64_t monotonic_ns();

// Sorts; the p-th percentile by the nearest rank, 0 of nothing.
double percentile(std::vector<double> values, double p);

}  // namespace rhz::tools
