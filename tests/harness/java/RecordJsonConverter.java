// Writes the answers of Kafka's own converters into text cases.
//
//   java -Duser.timezone=UTC -cp 'CONNECT_JARS/*' tests/harness/java/RecordJsonConverter.java FILE...
//
// A case is a directive line, input lines, a line of four dashes, and the answer, which this
// program replaces; a blank line ends it. The directive is
//
//   CONVERTER encode|decode [KEY=VALUE ...]
//
// with CONVERTER one of json, string, bytes, boolean, short, integer, long, float, double, header.
// Input of encode:
//
//   schema JSON|none     as JsonConverter reads it
//   as JSON              the schema by which the value is built, if it is another one
//   value JSON           bytes and unscaled decimals as "0x…", logical types as their numbers,
//                        maps as arrays of pairs, NaN and infinities as text
//
// Input of decode is `bytes TEXT`, `hex DIGITS` or `null`; `content JSON` is the option schema.content.
//
// Needs JDK 19 or later, because older ones write some floating-point numbers with a digit too many.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.DeserializationFeature;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.util.*;
import org.apache.kafka.common.config.ConfigException;
import org.apache.kafka.connect.converters.*;
import org.apache.kafka.connect.data.*;
import org.apache.kafka.connect.json.JsonConverter;
import org.apache.kafka.connect.storage.*;

public class RecordJsonConverter {
    static final ObjectMapper MAPPER = JsonMapper.builder()
        .enable(DeserializationFeature.USE_BIG_DECIMAL_FOR_FLOATS)
        .build();
    static final JsonConverter SCHEMAS = new JsonConverter();

    public static void main(String[] files) throws Exception {
        SCHEMAS.configure(Map.of(), false);
        for (String file : files) {
            Path path = Path.of(file);
            StringBuilder out = new StringBuilder();
            for (String block : Files.readString(path).stripTrailing().split("\n\n")) {
                int dashes = block.indexOf("\n----");
                if (dashes < 0) {
                    out.append(block).append("\n\n");
                    continue;
                }
                String question = block.substring(0, dashes);
                String answer;
                try {
                    answer = answer(question);
                } catch (Exception e) {
                    answer = "error " + e.getMessage();
                }
                out.append(question).append("\n----\n").append(answer).append("\n\n");
            }
            Files.writeString(path, out.toString().stripTrailing() + "\n");
        }
    }

    static String answer(String question) throws Exception {
        List<String> lines = new ArrayList<>(question.lines().filter(l -> !l.startsWith("#")).toList());
        String[] directive = lines.remove(0).split(" ");
        Map<String, String> options = new HashMap<>();
        for (String option : Arrays.copyOfRange(directive, 2, directive.length)) {
            options.put(option.substring(0, option.indexOf('=')), option.substring(option.indexOf('=') + 1));
        }
        Map<String, String> input = new HashMap<>();
        for (String line : lines) {
            int space = line.indexOf(' ');
            input.put(space < 0 ? line : line.substring(0, space), space < 0 ? "" : line.substring(space + 1));
        }
        if (input.containsKey("content")) {
            options.put("schema.content", input.get("content"));
        }
        if (directive[1].equals("encode")) {
            Schema schema = input.get("schema").equals("none") ? null : schema(input.get("schema"));
            Schema as = input.containsKey("as") ? schema(input.get("as")) : schema;
            Object value = build(as, MAPPER.readTree(input.get("value")));
            byte[] bytes;
            if (directive[0].equals("header")) {
                try (HeaderConverter converter = new SimpleHeaderConverter()) {
                    converter.configure(options);
                    bytes = converter.fromConnectHeader("topic", "name", schema, value);
                }
            } else {
                bytes = converter(directive[0], options).fromConnectData("topic", schema, value);
            }
            return show(bytes);
        }
        byte[] bytes = null;
        if (input.containsKey("bytes")) {
            bytes = input.get("bytes").getBytes(StandardCharsets.UTF_8);
        } else if (input.containsKey("hex")) {
            bytes = HexFormat.of().parseHex(input.get("hex"));
        }
        SchemaAndValue data;
        if (directive[0].equals("header")) {
            HeaderConverter converter = new SimpleHeaderConverter();
            converter.configure(options);
            data = converter.toConnectHeader("topic", "name", bytes);
        } else {
            data = converter(directive[0], options).toConnectData("topic", bytes);
        }
        if (data == null) {
            // The worker reads this as a null without a schema.
            data = SchemaAndValue.NULL;
        }
        String schema = data.schema() == null || hasHole(data.schema()) ? "none" : SCHEMAS.asJsonSchema(data.schema()).toString();
        return "schema " + schema + "\nvalue " + show(data.schema(), data.value());
    }

    static Schema schema(String text) throws Exception {
        return SCHEMAS.asConnectSchema(MAPPER.readTree(text));
    }

    static Converter converter(String name, Map<String, String> options) {
        Converter converter = switch (name) {
            case "json" -> new JsonConverter();
            case "string" -> new StringConverter();
            case "bytes" -> new ByteArrayConverter();
            case "boolean" -> new BooleanConverter();
            case "short" -> new ShortConverter();
            case "integer" -> new IntegerConverter();
            case "long" -> new LongConverter();
            case "float" -> new FloatConverter();
            case "double" -> new DoubleConverter();
            default -> throw new IllegalArgumentException(name);
        };
        converter.configure(options, false);
        return converter;
    }

    /** An array or map whose elements have no schema. */
    static boolean hasHole(Schema schema) {
        return switch (schema.type()) {
            case ARRAY -> schema.valueSchema() == null || hasHole(schema.valueSchema());
            case MAP -> schema.keySchema() == null || schema.valueSchema() == null
                || hasHole(schema.keySchema()) || hasHole(schema.valueSchema());
            default -> false;
        };
    }

    static Object build(Schema schema, JsonNode node) {
        if (node.isNull()) {
            return null;
        }
        if (schema == null) {
            if (node.isArray()) {
                List<Object> list = new ArrayList<>();
                node.forEach(item -> list.add(build(null, item)));
                return list;
            } else if (node.isObject()) {
                Map<Object, Object> map = new LinkedHashMap<>();
                node.properties().forEach(entry -> map.put(entry.getKey(), build(null, entry.getValue())));
                return map;
            }
            return node.isBoolean() ? (Object) node.booleanValue()
                : node.isIntegralNumber() ? (Object) node.longValue()
                : node.isNumber() ? (Object) node.doubleValue()
                : node.textValue();
        }
        if (schema.name() != null) {
            switch (schema.name()) {
                case Decimal.LOGICAL_NAME:
                    BigInteger unscaled = new BigInteger(hex(node.textValue()));
                    String scale = schema.parameters() == null ? null : schema.parameters().get("scale");
                    return new BigDecimal(unscaled, scale == null || !scale.matches("-?\\d+") ? 0 : Integer.parseInt(scale));
                case org.apache.kafka.connect.data.Date.LOGICAL_NAME:
                    return org.apache.kafka.connect.data.Date.toLogical(schema, node.intValue());
                case Time.LOGICAL_NAME:
                    return Time.toLogical(schema, node.intValue());
                case Timestamp.LOGICAL_NAME:
                    return Timestamp.toLogical(schema, node.longValue());
            }
        }
        switch (schema.type()) {
            case INT8: return (byte) node.intValue();
            case INT16: return (short) node.intValue();
            case INT32: return node.intValue();
            case INT64: return node.longValue();
            case FLOAT32: return node.isTextual() ? Float.parseFloat(node.textValue()) : node.floatValue();
            case FLOAT64: return node.isTextual() ? Double.parseDouble(node.textValue()) : node.doubleValue();
            case BOOLEAN: return node.booleanValue();
            case STRING: return node.textValue();
            case BYTES: return ByteBuffer.wrap(hex(node.textValue()));
            case ARRAY: {
                List<Object> list = new ArrayList<>();
                node.forEach(item -> list.add(build(schema.valueSchema(), item)));
                return list;
            }
            case MAP: {
                Map<Object, Object> map = new LinkedHashMap<>();
                node.forEach(pair -> map.put(build(schema.keySchema(), pair.get(0)), build(schema.valueSchema(), pair.get(1))));
                return map;
            }
            default: {
                Struct struct = new Struct(schema);
                for (Field field : schema.fields()) {
                    Object value = node.has(field.name()) ? build(field.schema(), node.get(field.name())) : null;
                    if (value != null) {
                        struct.put(field, value);
                    }
                }
                return struct;
            }
        }
    }

    static byte[] hex(String text) {
        return HexFormat.of().parseHex(text.substring(2));
    }

    static String show(byte[] bytes) {
        if (bytes == null) {
            return "null";
        }
        try {
            String text = StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes)).toString();
            if (text.chars().noneMatch(c -> c < 0x20)) {
                return "bytes " + text;
            }
        } catch (CharacterCodingException e) {
            // Not text.
        }
        return "hex " + HexFormat.of().formatHex(bytes);
    }

    static String show(Schema schema, Object value) {
        if (value == null) {
            return "null";
        } else if (value instanceof String text) {
            StringBuilder out = new StringBuilder("\"");
            for (char c : text.toCharArray()) {
                if (c == '"' || c == '\\') {
                    out.append('\\').append(c);
                } else if (c < 0x20) {
                    out.append(String.format("\\u%04x", (int) c));
                } else {
                    out.append(c);
                }
            }
            return out.append('"').toString();
        } else if (value instanceof byte[] bytes) {
            return "0x" + HexFormat.of().formatHex(bytes);
        } else if (value instanceof BigDecimal decimal) {
            String scale = schema.parameters().get("scale").equals("" + decimal.scale()) ? "" : " scale " + decimal.scale();
            return "0x" + HexFormat.of().formatHex(decimal.unscaledValue().toByteArray()) + scale;
        } else if (value instanceof java.util.Date date) {
            long day = 86_400_000;
            return schema.name().endsWith(".Date") ? "" + Math.floorDiv(date.getTime(), day) : "" + date.getTime();
        } else if (value instanceof Float) {
            return value + "f";
        } else if (value instanceof Double) {
            return value + "d";
        } else if (value instanceof List<?> list) {
            List<String> items = new ArrayList<>();
            Schema items_ = schema == null ? null : schema.valueSchema();
            list.forEach(item -> items.add(show(items_, item)));
            return "[" + String.join(", ", items) + "]";
        } else if (value instanceof Map<?, ?> map) {
            List<String> items = new ArrayList<>();
            Schema keys = schema == null ? null : schema.keySchema();
            Schema values = schema == null ? null : schema.valueSchema();
            map.forEach((k, v) -> items.add(show(keys, k) + ": " + show(values, v)));
            return "{" + String.join(", ", items) + "}";
        } else if (value instanceof Struct struct) {
            List<String> items = new ArrayList<>();
            for (Field field : struct.schema().fields()) {
                items.add(field.name() + "=" + show(field.schema(), struct.getWithoutDefault(field.name())));
            }
            return "Struct{" + String.join(", ", items) + "}";
        }
        return value.toString();
    }
}
