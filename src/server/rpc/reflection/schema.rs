//! What the contracts define: their files, and in which file each name is.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use protobuf::Message as _;
use protobuf::descriptor::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto};
use protobuf::reflect::FileDescriptor;

/// Files, and the names that they define.
#[derive(Debug, Default)]
pub struct Schema {
    files: Vec<File>,
    by_name: HashMap<String, usize>,
    /// The file of each message, field, enum, value, oneof, extension, service and method, by its full name.
    by_symbol: HashMap<String, usize>,
    /// The extensions of each message, by number, with their files. A message without extensions has an empty entry.
    extensions: HashMap<String, BTreeMap<i32, usize>>,
    services: BTreeSet<String>,
}

#[derive(Debug)]
struct File {
    /// A `FileDescriptorProto`.
    encoded: Vec<u8>,
    imports: Vec<usize>,
}

impl Schema {
    /// These files, and all that they import.
    pub fn new(files: &[FileDescriptor]) -> Self {
        let mut schema = Self::default();
        for file in files {
            schema.add(file);
            let services = file.proto().service.iter();
            schema.services.extend(services.map(|service| full(file.package(), service.name())));
        }
        schema
    }

    /// The full names of the services, in order. Those of imported files are not among them.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.services.iter().map(String::as_str)
    }

    /// The file of this name, and all that it imports.
    pub fn file(&self, name: &str) -> Option<Vec<Vec<u8>>> {
        self.by_name.get(name).map(|file| self.with_imports(*file))
    }

    /// The file that defines this name, and all that it imports.
    pub fn file_of_symbol(&self, symbol: &str) -> Option<Vec<Vec<u8>>> {
        self.by_symbol.get(symbol).map(|file| self.with_imports(*file))
    }

    /// The file that defines this extension of a message, and all that it imports.
    pub fn file_of_extension(&self, message: &str, number: i32) -> Option<Vec<Vec<u8>>> {
        self.extensions.get(message)?.get(&number).map(|file| self.with_imports(*file))
    }

    /// The numbers of the extensions of a message, in order; `None` if there is no such message.
    pub fn extension_numbers(&self, message: &str) -> Option<Vec<i32>> {
        self.extensions.get(message).map(|extensions| extensions.keys().copied().collect())
    }

    /// A file first, since clients take the first for the answer, then those that it imports, each once.
    fn with_imports(&self, file: usize) -> Vec<Vec<u8>> {
        let (mut seen, mut next, mut found) = (BTreeSet::from([file]), VecDeque::from([file]), Vec::new());
        while let Some(file) = next.pop_front() {
            let File { encoded, imports } = &self.files[file];
            found.push(encoded.clone());
            next.extend(imports.iter().filter(|import| seen.insert(**import)));
        }
        found
    }

    fn add(&mut self, file: &FileDescriptor) -> usize {
        if let Some(known) = self.by_name.get(file.name()) {
            return *known;
        }
        let index = self.files.len();
        // Invariant: a description in memory can be encoded into memory.
        let encoded = file.proto().write_to_bytes().expect("encoding into memory succeeds");
        self.files.push(File { encoded, imports: Vec::new() });
        self.by_name.insert(file.name().to_owned(), index);
        // Files can't import each other in a circle.
        let imports = file.deps().iter().map(|import| self.add(import)).collect();
        self.files[index].imports = imports;
        self.add_names(index, file.proto());
        index
    }

    fn add_names(&mut self, file: usize, proto: &FileDescriptorProto) {
        let package = proto.package();
        proto.message_type.iter().for_each(|message| self.add_message(file, package, message));
        proto.enum_type.iter().for_each(|kind| self.add_enum(file, package, kind));
        proto.extension.iter().for_each(|field| self.add_extension(file, package, field));
        for service in &proto.service {
            let name = full(package, service.name());
            service.method.iter().for_each(|method| self.add_symbol(file, &name, method.name()));
            self.add_symbol(file, package, service.name());
        }
    }

    fn add_message(&mut self, file: usize, scope: &str, message: &DescriptorProto) {
        let name = full(scope, message.name());
        self.add_symbol(file, scope, message.name());
        self.extensions.entry(name.clone()).or_default();
        message.field.iter().for_each(|field| self.add_symbol(file, &name, field.name()));
        message.oneof_decl.iter().for_each(|oneof| self.add_symbol(file, &name, oneof.name()));
        message.enum_type.iter().for_each(|kind| self.add_enum(file, &name, kind));
        message.extension.iter().for_each(|field| self.add_extension(file, &name, field));
        message.nested_type.iter().for_each(|nested| self.add_message(file, &name, nested));
    }

    /// The values of an enum are named beside it, not within it.
    fn add_enum(&mut self, file: usize, scope: &str, kind: &EnumDescriptorProto) {
        self.add_symbol(file, scope, kind.name());
        kind.value.iter().for_each(|value| self.add_symbol(file, scope, value.name()));
    }

    fn add_extension(&mut self, file: usize, scope: &str, field: &FieldDescriptorProto) {
        self.add_symbol(file, scope, field.name());
        let extended = field.extendee().trim_start_matches('.').to_owned();
        self.extensions.entry(extended).or_default().insert(field.number(), file);
    }

    fn add_symbol(&mut self, file: usize, scope: &str, name: &str) {
        self.by_symbol.insert(full(scope, name), file);
    }
}

fn full(scope: &str, name: &str) -> String {
    if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") }
}

#[cfg(test)]
mod tests {
    use protobuf::descriptor::{EnumValueDescriptorProto, field_descriptor_proto};

    use super::*;
    use crate::wire;

    fn name(encoded: &[u8]) -> String {
        FileDescriptorProto::parse_from_bytes(encoded).unwrap().name().to_owned()
    }

    fn names(files: Option<Vec<Vec<u8>>>) -> Vec<String> {
        files.expect("it is known").iter().map(|file| name(file)).collect()
    }

    /// A file with this message.
    fn file(name: &str, message: DescriptorProto, imports: &[FileDescriptor]) -> FileDescriptorProto {
        let mut proto = FileDescriptorProto { message_type: vec![message], ..Default::default() };
        proto.set_name(name.to_owned());
        proto.set_package("p".to_owned());
        proto.dependency = imports.iter().map(|import| import.name().to_owned()).collect();
        proto
    }

    fn message(name: &str) -> DescriptorProto {
        let mut message = DescriptorProto::new();
        message.set_name(name.to_owned());
        message
    }

    fn built(proto: FileDescriptorProto, imports: &[FileDescriptor]) -> FileDescriptor {
        FileDescriptor::new_dynamic(proto, imports).expect("it is valid")
    }

    #[test]
    fn every_name_of_the_contract_is_found() {
        let schema = Schema::new(&[wire::v1::file_descriptor().clone(), wire::health::file_descriptor().clone()]);
        let chat = ["hubbub/v1/chat.proto"];
        for symbol in [
            "hubbub.v1.ChatService",
            "hubbub.v1.ChatService.PostMessage",
            "hubbub.v1.PostMessageRequest",
            "hubbub.v1.PostMessageRequest.body",
            "hubbub.v1.Rejected.Code",
            "hubbub.v1.Rejected.CODE_CONFLICT",
            "hubbub.v1.Command.command",
        ] {
            assert_eq!(names(schema.file_of_symbol(symbol)), chat, "{symbol}");
        }
        for symbol in ["", "hubbub.v1", ".hubbub.v1.ChatService", "ChatService", "hubbub.v1.ChatService.Chat.x"] {
            assert!(schema.file_of_symbol(symbol).is_none(), "{symbol}");
        }
        assert_eq!(names(schema.file("hubbub/v1/chat.proto")), chat);
        assert!(schema.file("chat.proto").is_none() && schema.file("../hubbub/v1/chat.proto").is_none());
        assert_eq!(schema.services().collect::<Vec<_>>(), ["grpc.health.v1.Health", "hubbub.v1.ChatService"]);
        assert_eq!(schema.extension_numbers("hubbub.v1.PostMessageRequest"), Some(vec![]));
        assert_eq!(schema.extension_numbers("hubbub.v1.ChatService"), None);
    }

    /// `a` imports `b` and `c`, and both import `d`: all that a client needs, nothing twice, the file itself first.
    #[test]
    fn a_file_comes_first_and_then_what_it_imports() {
        let d = built(file("d", message("D"), &[]), &[]);
        let below = std::slice::from_ref(&d);
        let b = built(file("b", message("B"), below), below);
        let c = built(file("c", message("C"), below), below);
        let imports = [b, c];
        let a = built(file("a", message("A"), &imports), &imports);
        let schema = Schema::new(&[a, d]);
        assert_eq!(names(schema.file("a")), ["a", "b", "c", "d"]);
        assert_eq!(names(schema.file_of_symbol("p.C")), ["c", "d"]);
        assert_eq!(names(schema.file("d")), ["d"]);
    }

    #[test]
    fn extensions_are_found_by_message_and_number() {
        let mut base = file("base", message("Base"), &[]);
        base.set_syntax("proto2".to_owned());
        let mut range = protobuf::descriptor::descriptor_proto::ExtensionRange::new();
        range.set_start(100);
        range.set_end(200);
        base.message_type[0].extension_range.push(range);
        let base = built(base, &[]);
        let imports = [base];
        let mut more = file("more", message("More"), &imports);
        let mut kind = EnumDescriptorProto::new();
        kind.set_name("Kind".to_owned());
        let mut value = EnumValueDescriptorProto::new();
        value.set_name("NONE".to_owned());
        value.set_number(0);
        kind.value.push(value);
        more.message_type[0].enum_type.push(kind);
        for (number, at_top) in [(120, true), (110, false)] {
            let mut field = FieldDescriptorProto::new();
            field.set_name(format!("x{number}"));
            field.set_number(number);
            field.set_extendee(".p.Base".to_owned());
            field.set_type(field_descriptor_proto::Type::TYPE_INT32);
            field.set_label(field_descriptor_proto::Label::LABEL_OPTIONAL);
            if at_top { more.extension.push(field) } else { more.message_type[0].extension.push(field) }
        }
        let schema = Schema::new(&[built(more, &imports)]);
        assert_eq!(schema.extension_numbers("p.Base"), Some(vec![110, 120]));
        assert_eq!(schema.extension_numbers("p.More"), Some(vec![]));
        assert_eq!(names(schema.file_of_extension("p.Base", 110)), ["more", "base"]);
        assert!(schema.file_of_extension("p.Base", 111).is_none() && schema.file_of_extension("p.More", 110).is_none());
        assert_eq!(names(schema.file_of_symbol("p.More.x110")), ["more", "base"]);
        assert_eq!(names(schema.file_of_symbol("p.More.NONE")), ["more", "base"]);
        assert_eq!(names(schema.file_of_symbol("p.x120")), ["more", "base"]);
    }
}
