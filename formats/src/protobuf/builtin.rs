//! `.proto` files that every schema may import without a reference, beside those of `google/protobuf/`.

/// Annotations of the registry's clients: precision and scale of decimals are parameters of a field.
const META: &str = r#"syntax = "proto3";
package confluent;
import "google/protobuf/descriptor.proto";
message Meta {
  string doc = 1;
  map<string, string> params = 2;
  repeated string tags = 3;
}
extend google.protobuf.FileOptions { Meta file_meta = 1088; }
extend google.protobuf.MessageOptions { Meta message_meta = 1088; }
extend google.protobuf.FieldOptions { Meta field_meta = 1088; }
extend google.protobuf.EnumOptions { Meta enum_meta = 1088; }
extend google.protobuf.EnumValueOptions { Meta enum_value_meta = 1088; }
"#;

/// An unscaled value in two's complement, big-endian, and where its point is.
const DECIMAL: &str = r#"syntax = "proto3";
package confluent.type;
import public "confluent/meta.proto";
message Decimal {
  bytes value = 1;
  uint32 precision = 2;
  int32 scale = 3;
}
"#;

const DATE: &str = r#"syntax = "proto3";
package google.type;
message Date {
  int32 year = 1;
  int32 month = 2;
  int32 day = 3;
}
"#;

const TIME_OF_DAY: &str = r#"syntax = "proto3";
package google.type;
message TimeOfDay {
  int32 hours = 1;
  int32 minutes = 2;
  int32 seconds = 3;
  int32 nanos = 4;
}
"#;

/// Where the annotations are, which schemas use without importing them.
pub(super) const META_FILE: &str = "confluent/meta.proto";

/// The text of a built-in file. Clients import some in other case, so case does not matter.
pub(super) fn text(name: &str) -> Option<&'static str> {
    let files = [
        (META_FILE, META),
        ("confluent/type/decimal.proto", DECIMAL),
        ("google/type/date.proto", DATE),
        ("google/type/timeofday.proto", TIME_OF_DAY),
    ];
    files.into_iter().find(|(file, _)| file.eq_ignore_ascii_case(name)).map(|(_, text)| text)
}
