//! Descriptors to `.proto` text: what clients that know only descriptors register is kept as text, as others write it.

use std::fmt::Write;

use prost_reflect::{
    Cardinality, DynamicMessage, EnumDescriptor, ExtensionDescriptor, FieldDescriptor, FileDescriptor, Kind,
    MessageDescriptor, OneofDescriptor, ServiceDescriptor, Syntax, Value,
};

/// One more than the largest number of a field.
const NUMBER_END: u32 = 536_870_912;

/// The text of a file. Comments are in no descriptor; all else is there. Fails for groups, which have no text apart from
/// their fields.
pub(super) fn file(file: &FileDescriptor) -> Result<String, String> {
    let mut out = Printer { text: String::new(), depth: 0, syntax: file.syntax() };
    out.line(match file.syntax() {
        Syntax::Proto2 => "syntax = \"proto2\";",
        Syntax::Proto3 => "syntax = \"proto3\";",
    });
    if !file.package_name().is_empty() {
        out.line(&format!("package {};", file.package_name()));
    }
    let proto = file.file_descriptor_proto();
    for (at, name) in (0..).zip(&proto.dependency) {
        let public = if proto.public_dependency.contains(&at) { "public " } else { "" };
        out.line(&format!("import {public}{};", quoted(name.as_bytes())));
    }
    out.option_lines(&file.options());
    file.enums().for_each(|one| out.enumeration(&one));
    file.messages().try_for_each(|one| out.message(&one))?;
    file.extensions().try_for_each(|one| out.extension(&one))?;
    file.services().for_each(|one| out.service(&one));
    Ok(out.text)
}

struct Printer {
    text: String,
    depth: usize,
    syntax: Syntax,
}

impl Printer {
    fn line(&mut self, text: &str) {
        self.text.extend(std::iter::repeat_n("  ", self.depth));
        self.text.push_str(text);
        self.text.push('\n');
    }

    fn open(&mut self, head: &str) {
        self.line(&format!("{head} {{"));
        self.depth += 1;
    }

    fn close(&mut self) {
        self.depth -= 1;
        self.line("}");
    }

    fn option_lines(&mut self, options: &DynamicMessage) {
        for option in options_of(options) {
            self.line(&format!("option {option};"));
        }
    }

    fn message(&mut self, message: &MessageDescriptor) -> Result<(), String> {
        self.open(&format!("message {}", message.name()));
        self.option_lines(&message.options());
        for (range, word) in message
            .reserved_ranges()
            .map(|range| (range, "reserved"))
            .chain(message.extension_ranges().map(|range| (range, "extensions")))
        {
            let (first, last) = (range.start, range.end - 1);
            match (first == last, range.end >= NUMBER_END) {
                (true, _) => self.line(&format!("{word} {first};")),
                (false, true) => self.line(&format!("{word} {first} to max;")),
                (false, false) => self.line(&format!("{word} {first} to {last};")),
            }
        }
        for name in message.reserved_names() {
            self.line(&format!("reserved {};", quoted(name.as_bytes())));
        }
        // In the order of the file, which is not that of the numbers.
        for proto in &message.descriptor_proto().field {
            let field = u32::try_from(proto.number()).ok().and_then(|number| message.get_field(number));
            let Some(field) = field else { continue };
            match field.containing_oneof().filter(|oneof| !oneof.is_synthetic()) {
                None => self.field(&field, true)?,
                // With its first member, all of them.
                Some(oneof) if is_first(&oneof, &field) => self.oneof(&oneof)?,
                Some(_) => {}
            }
        }
        message.child_enums().for_each(|one| self.enumeration(&one));
        message.child_messages().filter(|one| !one.is_map_entry()).try_for_each(|one| self.message(&one))?;
        message.child_extensions().try_for_each(|one| self.extension(&one))?;
        self.close();
        Ok(())
    }

    fn oneof(&mut self, oneof: &OneofDescriptor) -> Result<(), String> {
        self.open(&format!("oneof {}", oneof.name()));
        self.option_lines(&oneof.options());
        oneof.fields().try_for_each(|field| self.field(&field, false))?;
        self.close();
        Ok(())
    }

    fn field(&mut self, field: &FieldDescriptor, with_label: bool) -> Result<(), String> {
        if field.is_group() {
            return Err(format!("the group {} has no text of its own", field.full_name()));
        }
        let proto = field.field_descriptor_proto();
        let label = match field.cardinality() {
            _ if !with_label || field.is_map() => "",
            Cardinality::Repeated => "repeated ",
            Cardinality::Required => "required ",
            Cardinality::Optional if self.syntax == Syntax::Proto2 || proto.proto3_optional() => "optional ",
            Cardinality::Optional => "",
        };
        let kind = match field.kind() {
            Kind::Message(entry) if field.is_map() => {
                let (key, value) = (entry.map_entry_key_field(), entry.map_entry_value_field());
                format!("map<{}, {}>", type_name(&key.kind()), type_name(&value.kind()))
            }
            kind => type_name(&kind),
        };
        let mut options = Vec::new();
        if let Some(default) = &proto.default_value {
            options.push(match field.kind() {
                Kind::String => format!("default = {}", quoted(default.as_bytes())),
                // Escaped already.
                Kind::Bytes => format!("default = \"{default}\""),
                _ => format!("default = {default}"),
            });
        }
        if proto.json_name.as_ref().is_some_and(|name| *name != json_name(field.name())) {
            options.push(format!("json_name = {}", quoted(proto.json_name().as_bytes())));
        }
        options.extend(options_of(&field.options()));
        let (name, number) = (super::schema::field_name(field), field.number());
        self.line(&format!("{label}{kind} {name} = {number}{};", bracketed(&options)));
        Ok(())
    }

    fn extension(&mut self, extension: &ExtensionDescriptor) -> Result<(), String> {
        if extension.is_group() {
            return Err(format!("the group {} has no text of its own", extension.full_name()));
        }
        self.open(&format!("extend .{}", extension.containing_message().full_name()));
        let label = match extension.cardinality() {
            Cardinality::Repeated => "repeated ",
            Cardinality::Required => "required ",
            Cardinality::Optional => "optional ",
        };
        let (kind, name) = (type_name(&extension.kind()), extension.name());
        let options: Vec<String> = options_of(&extension.options());
        self.line(&format!("{label}{kind} {name} = {}{};", extension.number(), bracketed(&options)));
        self.close();
        Ok(())
    }

    fn enumeration(&mut self, one: &EnumDescriptor) {
        self.open(&format!("enum {}", one.name()));
        self.option_lines(&one.options());
        for range in one.reserved_ranges() {
            let (first, last) = (range.start(), range.end());
            match (first == last, *last == i32::MAX) {
                (true, _) => self.line(&format!("reserved {first};")),
                (false, true) => self.line(&format!("reserved {first} to max;")),
                (false, false) => self.line(&format!("reserved {first} to {last};")),
            }
        }
        for name in one.reserved_names() {
            self.line(&format!("reserved {};", quoted(name.as_bytes())));
        }
        // In the order of the file: the first is the default.
        let proto = one.enum_descriptor_proto();
        for value in proto.value.iter().filter_map(|value| one.get_value_by_name(value.name())) {
            let options = options_of(&value.options());
            self.line(&format!("{} = {}{};", value.name(), value.number(), bracketed(&options)));
        }
        self.close();
    }

    fn service(&mut self, service: &ServiceDescriptor) {
        self.open(&format!("service {}", service.name()));
        self.option_lines(&service.options());
        for method in service.methods() {
            let stream = |streams: bool| if streams { "stream " } else { "" };
            let (input, output) = (method.input(), method.output());
            let head = format!(
                "rpc {} ({}.{}) returns ({}.{})",
                method.name(),
                stream(method.is_client_streaming()),
                input.full_name(),
                stream(method.is_server_streaming()),
                output.full_name()
            );
            if options_of(&method.options()).is_empty() {
                self.line(&format!("{head};"));
            } else {
                self.open(&head);
                self.option_lines(&method.options());
                self.close();
            }
        }
        self.close();
    }
}

fn is_first(oneof: &OneofDescriptor, field: &FieldDescriptor) -> bool {
    let members = |number: i32| u32::try_from(number).is_ok_and(|number| number == field.number());
    let parent = oneof.parent_message();
    let mut in_order = parent.descriptor_proto().field.iter().filter(|proto| {
        let number = u32::try_from(proto.number()).ok();
        let member = number.and_then(|number| parent.get_field(number));
        member.and_then(|member| member.containing_oneof()).as_ref() == Some(oneof)
    });
    in_order.next().is_some_and(|proto| members(proto.number()))
}

fn type_name(kind: &Kind) -> String {
    match kind {
        Kind::Double => "double".to_owned(),
        Kind::Float => "float".to_owned(),
        Kind::Int32 => "int32".to_owned(),
        Kind::Int64 => "int64".to_owned(),
        Kind::Uint32 => "uint32".to_owned(),
        Kind::Uint64 => "uint64".to_owned(),
        Kind::Sint32 => "sint32".to_owned(),
        Kind::Sint64 => "sint64".to_owned(),
        Kind::Fixed32 => "fixed32".to_owned(),
        Kind::Fixed64 => "fixed64".to_owned(),
        Kind::Sfixed32 => "sfixed32".to_owned(),
        Kind::Sfixed64 => "sfixed64".to_owned(),
        Kind::Bool => "bool".to_owned(),
        Kind::String => "string".to_owned(),
        Kind::Bytes => "bytes".to_owned(),
        // With the dot no name nearby can hide it.
        Kind::Message(message) => format!(".{}", message.full_name()),
        Kind::Enum(one) => format!(".{}", one.full_name()),
    }
}

fn bracketed(options: &[String]) -> String {
    if options.is_empty() { String::new() } else { format!(" [{}]", options.join(", ")) }
}

/// `name = value`, once for each value.
fn options_of(options: &DynamicMessage) -> Vec<String> {
    let plain = options.fields().map(|(field, value)| (field.name().to_owned(), field.kind(), value));
    let extensions = options
        .extensions()
        .map(|(extension, value)| (format!("(.{})", extension.full_name()), extension.kind(), value));
    let mut found = Vec::new();
    for (name, kind, value) in plain.chain(extensions) {
        // What no option stands for: the parser's own notes.
        if name == "uninterpreted_option" {
            continue;
        }
        match value {
            Value::List(items) => {
                found.extend(items.iter().map(|item| format!("{name} = {}", shown(item, &kind))))
            }
            value => found.push(format!("{name} = {}", shown(value, &kind))),
        }
    }
    found
}

/// A value as options and text format write it.
fn shown(value: &Value, kind: &Kind) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::I32(value) => value.to_string(),
        Value::I64(value) => value.to_string(),
        Value::U32(value) => value.to_string(),
        Value::U64(value) => value.to_string(),
        Value::F32(value) => float(f64::from(*value)),
        Value::F64(value) => float(*value),
        Value::String(value) => quoted(value.as_bytes()),
        Value::Bytes(value) => quoted(value),
        Value::EnumNumber(number) => {
            let name = kind.as_enum().and_then(|one| one.get_value(*number));
            name.map_or_else(|| number.to_string(), |value| value.name().to_owned())
        }
        Value::Message(message) => {
            let members = message.fields().map(|(field, value)| match value {
                Value::Map(entries) => {
                    let Kind::Message(entry) = field.kind() else { return String::new() };
                    let mut entries: Vec<String> = entries
                        .iter()
                        .map(|(key, value)| {
                            let key = shown(&Value::from(key.clone()), &entry.map_entry_key_field().kind());
                            let value = shown(value, &entry.map_entry_value_field().kind());
                            format!("{{ key: {key}, value: {value} }}")
                        })
                        .collect();
                    // Maps have no order of their own.
                    entries.sort();
                    format!("{}: [{}]", field.name(), entries.join(", "))
                }
                Value::List(items) => {
                    let items: Vec<String> = items.iter().map(|item| shown(item, &field.kind())).collect();
                    format!("{}: [{}]", field.name(), items.join(", "))
                }
                value => format!("{}: {}", field.name(), shown(value, &field.kind())),
            });
            format!("{{ {} }}", members.collect::<Vec<_>>().join(", "))
        }
        // Options hold both only as members, which are handled where their names are.
        Value::List(_) | Value::Map(_) => String::new(),
    }
}

fn float(value: f64) -> String {
    if value.is_nan() {
        "nan".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "inf".to_owned() } else { "-inf".to_owned() }
    } else {
        format!("{value:?}")
    }
}

fn quoted(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' | '\\' => text.extend(['\\', character]),
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                other if other.is_control() => {
                    for byte in other.to_string().bytes() {
                        let _infallible = write!(text, "\\{byte:03o}");
                    }
                }
                other => text.push(other),
            }
        }
        for byte in chunk.invalid() {
            let _infallible = write!(text, "\\{byte:03o}");
        }
    }
    text.push('"');
    text
}

/// What a field is called in JSON unless its file says otherwise.
fn json_name(name: &str) -> String {
    let mut json = String::with_capacity(name.len());
    let mut after_underscore = false;
    for character in name.chars() {
        match character {
            '_' => after_underscore = true,
            other if after_underscore => {
                json.push(other.to_ascii_uppercase());
                after_underscore = false;
            }
            other => json.push(other),
        }
    }
    json
}

#[cfg(test)]
mod tests {
    use base64::{Engine, prelude::BASE64_STANDARD};
    use prost_reflect::prost_types::FileDescriptorProto;

    use super::{super::schema::Proto, *};
    use crate::{ResolvedSchema, Schema, SchemaType};

    fn compile(text: String) -> Proto {
        let schema = Schema::new(SchemaType::Protobuf, text);
        Proto::compile(&ResolvedSchema { schema, references: Vec::new() }).unwrap()
    }

    /// What a file says, without what it is called and where things stand in it.
    fn meaning(proto: &Proto) -> FileDescriptorProto {
        let mut file = proto.file().file_descriptor_proto().clone();
        file.source_code_info = None;
        file
    }

    #[test]
    fn texts_and_descriptors_say_the_same() {
        for text in [
            r#"syntax = "proto3"; package a.b;
            import "google/protobuf/timestamp.proto";
            import "confluent/meta.proto";
            import "confluent/type/decimal.proto";
            option java_package = "x\"y";
            enum Kind { option allow_alias = true; NONE = 0; ZERO = 0; reserved 5, 7 to 9; reserved "OLD"; ONE = 1 [deprecated = true]; }
            message Order {
              reserved 20 to max; reserved "gone";
              int64 id = 9; optional string name = 2; repeated int32 n = 3 [packed = false];
              map<string, Item> items = 4; Kind kind = 5; google.protobuf.Timestamp at = 6;
              oneof choice { string text = 7; Item item = 8; }
              confluent.type.Decimal amount = 1 [(confluent.field_meta) = { params: [ { key: "precision", value: "4" }, { key: "scale", value: "2" } ] }];
              string other_name = 10 [json_name = "different", deprecated = true];
              message Item { bytes b = 1; sfixed64 s = 2; message Deep { bool yes = 1; } Deep deep = 3; }
            }
            service Orders { rpc Get (Order) returns (stream Order); rpc Old (Order) returns (Order) { option deprecated = true; } }"#,
            r#"syntax = "proto2";
            message M { required int32 a = 1 [default = -5]; optional string s = 2 [default = "q\"\n"]; optional bytes b = 3 [default = "\001x"];
              optional double d = 4 [default = inf]; optional E e = 5 [default = TWO]; extensions 100 to 199; enum E { ONE = 1; TWO = 2; } }
            extend M { optional int32 more = 100; }"#,
        ] {
            let first = compile(text.to_owned());
            let printed = file(first.file()).unwrap();
            let second = compile(printed.clone());
            assert_eq!(meaning(&second), meaning(&first), "{printed}");
            assert_eq!(file(second.file()).unwrap(), printed, "options that are extensions are kept, too");
            // By way of a descriptor, as Python's serializer registers it.
            let descriptor = compile(BASE64_STANDARD.encode(first.file().encode_to_vec()));
            assert_eq!(file(descriptor.file()).unwrap(), printed);
        }
    }
}
