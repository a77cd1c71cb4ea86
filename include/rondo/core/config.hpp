/// Configuration: TOML files whose keys are declared once, by the module that owns them.
///
/// A module has a plain struct of options with a `visit(Fields&)` that names each field, its range and a
/// line of help. The same description reads the file, checks it, applies `--set`, writes the resolved
/// config and compares two of them. A key that nobody declared is an error with file, line and the
/// nearest valid key: no key passes silently.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace rondo {

/// Inclusive limits of a number.
template <class T>
struct Range {
  T low = std::numeric_limits<T>::lowest();
  T high = std::numeric_limits<T>::max();
};
using IntRange = Range<std::int64_t>;
using RealRange = Range<double>;

/// Whether a field may differ between a run and its resumption.
enum class Effect {
  bits,        ///< changes the trained weights: must be the same on resume
  operational  ///< changes speed, storage or display only
};

/// Visits declared fields. Names are "section.key".
class Fields {
 public:
  virtual ~Fields() = default;
  virtual void field(const char* name, std::int64_t& value, IntRange range, Effect effect,
                     const char* help) = 0;
  virtual void field(const char* name, double& value, RealRange range, Effect effect, const char* help) = 0;
  virtual void field(const char* name, bool& value, Effect effect, const char* help) = 0;
  /// `choices`: the valid values separated by '|', or "" for any text.
  virtual void field(const char* name, std::string& value, const char* choices, Effect effect,
                     const char* help) = 0;
  virtual void field(const char* name, std::vector<std::int64_t>& value, IntRange range, Effect effect,
                     const char* help) = 0;
  virtual void field(const char* name, std::vector<std::string>& value, Effect effect, const char* help) = 0;
};

/// A parsed TOML document with `--set` overrides, being read field by field.
class ConfigReader : public Fields {
 public:
  /// Parses a file. Throws InputError with file and line when it is missing or no TOML.
  static ConfigReader from_file(const std::string& path, const std::vector<std::string>& overrides = {});
  /// Parses text; `origin` stands for the file in messages.
  static ConfigReader from_text(const std::string& text, const std::string& origin,
                                const std::vector<std::string>& overrides = {});
  ~ConfigReader() override;
  ConfigReader(ConfigReader&&) noexcept;

  void field(const char*, std::int64_t&, IntRange, Effect, const char*) override;
  void field(const char*, double&, RealRange, Effect, const char*) override;
  void field(const char*, bool&, Effect, const char*) override;
  void field(const char*, std::string&, const char*, Effect, const char*) override;
  void field(const char*, std::vector<std::int64_t>&, IntRange, Effect, const char*) override;
  void field(const char*, std::vector<std::string>&, Effect, const char*) override;

  /// To be called when all fields have been visited: throws InputError for a key that no field took.
  void finish() const;
  /// "file:line" of a key, or the file where the key is not set: for messages about values.
  std::string where(const std::string& name) const;

 private:
  struct Document;
  explicit ConfigReader(std::unique_ptr<Document> document);
  std::unique_ptr<Document> document_;
};

/// One declared field as text: what the resolved config and the comparison at resume are made of.
struct FieldText {
  std::string name, value, help;
  Effect effect = Effect::bits;
};

/// Collects fields in the order in which they are declared.
class ConfigWriter : public Fields {
 public:
  void field(const char*, std::int64_t&, IntRange, Effect, const char*) override;
  void field(const char*, double&, RealRange, Effect, const char*) override;
  void field(const char*, bool&, Effect, const char*) override;
  void field(const char*, std::string&, const char*, Effect, const char*) override;
  void field(const char*, std::vector<std::int64_t>&, IntRange, Effect, const char*) override;
  void field(const char*, std::vector<std::string>&, Effect, const char*) override;

  const std::vector<FieldText>& fields() const { return fields_; }
  /// A TOML document that from_text() reads back to the same values.
  std::string toml() const;

 private:
  std::vector<FieldText> fields_;
};

/// The candidate with the smallest edit distance to `word`, or "" if none is near.
std::string nearest(const std::string& word, const std::vector<std::string>& candidates);

}  // namespace rondo
