// What itch-book takes of the package fixed-decimal, which its CMake fetches from GitHub: a price as a whole number of its
// last decimal place. Like that package's, it is the number alone, so the programs do what they do with it.
#pragma once

#include <compare>

namespace fixed_decimal {

struct PriceTag {};

template <int Decimals, class Tag, class Number>
class Fixed {
public:
    constexpr Fixed() = default;
    static constexpr Fixed from_raw(Number number) {
        Fixed it;
        it.number = number;
        return it;
    }
    constexpr Number raw() const { return number; }
    constexpr auto operator<=>(const Fixed&) const = default;

private:
    Number number = 0;
};

}  // namespace fixed_decimal
