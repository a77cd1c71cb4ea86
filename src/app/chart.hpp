// Curves over powers of two, drawn as SVG.
#pragma once

#include <string>
#include <vector>

namespace rondo {

struct Curve {
  std::string name;
  std::vector<double> y, low, high;  // a band from low to high lies behind the line
};

struct Panel {
  std::string title;
  std::vector<Curve> curves;
  double least_top = 0;  // the vertical axis goes from 0 to this at least
};

/// Panels side by side over the same x (rising, on a logarithmic axis), with one legend.
std::string svg_of(const std::string& title, const std::string& x_label, const std::vector<double>& x,
                   const std::vector<Panel>& panels);

}  // namespace rondo
