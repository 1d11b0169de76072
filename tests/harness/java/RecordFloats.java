// Prints a table of floating-point numbers as the JVM writes them: bits in hexadecimal, text.
//
//   java tests/harness/java/RecordFloats.java > schema/codec/testdata/floats.txt
//
// Needs JDK 19 or later: older ones do not always write the shortest text.

import java.util.*;

public class RecordFloats {
    public static void main(String[] args) {
        System.out.println("# Recorded by tests/harness/java/RecordFloats.java on JDK " + Runtime.version().feature() + ".");
        double[] doubles = {
            0.0, -0.0, 1, -1, 0.1, 0.01, 0.001, 0.0001, 0.00099999, 9.999e-4, 1e-5, 10, 100, 123456, 1e6, 9999999, 1e7, 12345678,
            9999999.999, 1e10, 1.5e10, 1e21, 1e22, 1e23, 2e23, 1e100, 1e-100, 1.0E-4, 0.5, 0.3, 2.0 / 3, Math.PI, -Math.E,
            Double.MIN_VALUE, 2 * Double.MIN_VALUE, 3 * Double.MIN_VALUE, 4 * Double.MIN_VALUE, 5 * Double.MIN_VALUE,
            6 * Double.MIN_VALUE, 7 * Double.MIN_VALUE, 8 * Double.MIN_VALUE, 9 * Double.MIN_VALUE, 10 * Double.MIN_VALUE,
            11 * Double.MIN_VALUE, 12 * Double.MIN_VALUE, 14 * Double.MIN_VALUE, 16 * Double.MIN_VALUE, 20 * Double.MIN_VALUE,
            40 * Double.MIN_VALUE, 100 * Double.MIN_VALUE, 200 * Double.MIN_VALUE, 405 * Double.MIN_VALUE, 2024 * Double.MIN_VALUE,
            Double.MIN_NORMAL, Double.MAX_VALUE, Double.NaN, Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY,
            2e-3, 5.684341886080802E-14, 9007199254740993.0, 4.35, 1.1, 1e15, 1e16, 1e17, 123456789012345680.0, 2.2250738585072011e-308,
        };
        for (double value : doubles) {
            System.out.printf("double %016x %s%n", Double.doubleToRawLongBits(value), value);
        }
        float[] floats = {
            0f, -0f, 1f, 0.1f, 0.001f, 9.999e-4f, 1e7f, 9999999f, 1.0E10f, 3.4028235E38f, 1.17549435E-38f, 16777216f, 33554432f,
            Float.MIN_VALUE, 2 * Float.MIN_VALUE, 3 * Float.MIN_VALUE, 4 * Float.MIN_VALUE, 5 * Float.MIN_VALUE, 6 * Float.MIN_VALUE,
            7 * Float.MIN_VALUE, 8 * Float.MIN_VALUE, 10 * Float.MIN_VALUE, 15 * Float.MIN_VALUE, 20 * Float.MIN_VALUE,
            50 * Float.MIN_VALUE, 100 * Float.MIN_VALUE, Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY, 0.3f, 2f / 3,
            1.1f, 123.456f, 3.1415927f, 8.5E9f, 2.0E-45f, 1.0E23f,
        };
        for (float value : floats) {
            System.out.printf("float %08x %s%n", Float.floatToRawIntBits(value), value);
        }
        Random random = new Random(1);
        for (int i = 0; i < 300; i++) {
            double any = Double.longBitsToDouble(random.nextLong());
            double near = Math.scalb(random.nextDouble(), random.nextInt(60) - 30);
            double small = Double.longBitsToDouble(random.nextLong() & 0x3ff);
            float single = Float.intBitsToFloat(random.nextInt());
            float tiny = Float.intBitsToFloat(random.nextInt() & 0x3ff);
            if (!Double.isNaN(any)) System.out.printf("double %016x %s%n", Double.doubleToRawLongBits(any), any);
            System.out.printf("double %016x %s%n", Double.doubleToRawLongBits(near), near);
            System.out.printf("double %016x %s%n", Double.doubleToRawLongBits(small), small);
            if (!Float.isNaN(single)) System.out.printf("float %08x %s%n", Float.floatToRawIntBits(single), single);
            System.out.printf("float %08x %s%n", Float.floatToRawIntBits(tiny), tiny);
        }
    }
}
