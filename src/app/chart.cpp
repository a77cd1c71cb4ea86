#include "chart.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace rondo {
namespace {

constexpr double kWidth = 460, kHeight = 300, kLeft = 64, kTop = 60,
                 kGap = 40;  // of a panel's inside, pixels
// Told apart by the colour-blind too: Okabe and Ito, "Color universal design" (2008).
constexpr std::array kColours = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"};

const char* colour(std::size_t i) { return kColours[i % kColours.size()]; }

std::string text(double x, double y, const std::string& content, const char* more = "") {
  std::string safe;
  for (const char c : content)
    safe += c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : std::string(1, c);
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" {}>{}</text>\n", x, y, more, safe);
}

std::string svg_line(double x1, double y1, double x2, double y2, const char* stroke) {
  return fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"{}\"/>\n", x1,
                     y1, x2, y2, stroke);
}

// 1, 2 or 5 times a power of ten, about five of them up to `top`.
double nice_step(double top) {
  const double power = std::pow(10, std::floor(std::log10(top / 5)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (top / (factor * power) <= 6) return factor * power;
  return 10 * power;
}

class Axes {
 public:
  Axes(const std::vector<double>& x, const Panel& panel, double left) : x_(x), left_(left) {
    double top = panel.least_top;
    for (const Curve& curve : panel.curves)
      for (const std::vector<double>* values : {&curve.y, &curve.high})
        for (const double value : *values) top = std::max(top, value);
    step_ = nice_step(std::max(top, 1e-9));
    top_ = std::ceil(top / step_ - 1e-9) * step_;
  }

  double across(double x) const {
    const double span = std::log2(x_.back()) - std::log2(x_.front());
    return left_ + kWidth * (span > 0 ? (std::log2(x) - std::log2(x_.front())) / span : 0.5);
  }
  double down(double y) const { return kTop + kHeight * (1 - y / top_); }

  std::string frame(const std::string& title, const std::string& x_label) const {
    std::string out = text(left_, kTop - 12, title, "font-weight=\"bold\"");
    for (int i = 0; i * step_ <= top_ * (1 + 1e-9); ++i) {
      out += svg_line(left_, down(i * step_), left_ + kWidth, down(i * step_), "#ddd");
      out += text(left_ - 8, down(i * step_) + 4, fmt::format("{:.4g}", i * step_), "text-anchor=\"end\"");
    }
    for (const double x : x_) {
      out += svg_line(across(x), kTop + kHeight, across(x), kTop + kHeight + 5, "#333");
      out += text(across(x), kTop + kHeight + 19, fmt::format("{:g}", x), "text-anchor=\"middle\"");
    }
    out += svg_line(left_, kTop + kHeight, left_ + kWidth, kTop + kHeight, "#333");
    return out + text(left_ + kWidth / 2, kTop + kHeight + 40, x_label, "text-anchor=\"middle\"");
  }

  std::string draw(const Curve& curve, const char* colour) const {
    std::string band, path;
    for (std::size_t i = 0; i < x_.size(); ++i) {
      path += fmt::format("{:.1f},{:.1f} ", across(x_[i]), down(curve.y[i]));
      band += fmt::format("{:.1f},{:.1f} ", across(x_[i]), down(curve.high[i]));
    }
    for (std::size_t i = x_.size(); i-- > 0;)
      band += fmt::format("{:.1f},{:.1f} ", across(x_[i]), down(std::max(0.0, curve.low[i])));
    return fmt::format(
        "<polygon points=\"{}\" fill=\"{}\" opacity=\"0.15\"/>\n"
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"/>\n",
        band, colour, path, colour);
  }

 private:
  const std::vector<double>& x_;
  double left_, step_, top_;
};

}  // namespace

std::string svg_of(const std::string& title, const std::string& x_label, const std::vector<double>& x,
                   const std::vector<Panel>& panels) {
  const double each = kLeft + kWidth, count = static_cast<double>(panels.size());
  const std::vector<Curve>& named = panels.at(0).curves;
  const double below = kTop + kHeight + 64, width = each * count + kGap;
  const double height = below + 20 * static_cast<double>(named.size()) + 10;
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" viewBox=\"0 0 {0:.0f} "
      "{1:.0f}\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" "
      "fill=\"white\"/>\n",
      width, height);
  out += text(kLeft, 24, title, "font-size=\"15\"");
  for (std::size_t p = 0; p < panels.size(); ++p) {
    const Axes axes(x, panels[p], kLeft + each * static_cast<double>(p));
    out += axes.frame(panels[p].title, x_label);
    for (std::size_t i = 0; i < panels[p].curves.size(); ++i)
      out += axes.draw(panels[p].curves[i], colour(i));
  }
  for (std::size_t i = 0; i < named.size(); ++i) {
    const double y = below + 20 * static_cast<double>(i);
    out += fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"18\" height=\"4\" fill=\"{}\"/>\n", kLeft,
                       y - 6, colour(i));
    out += text(kLeft + 26, y, named[i].name);
  }
  return out + "</svg>\n";
}

}  // namespace rondo
