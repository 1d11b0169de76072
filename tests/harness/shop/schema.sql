-- A small shop that lives: `CALL step()` does what happens in a second or so.
CREATE TABLE customers (
  id serial PRIMARY KEY,
  name text NOT NULL,
  email text NOT NULL,
  city text,
  since timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE products (
  id serial PRIMARY KEY,
  sku varchar(12) NOT NULL UNIQUE,
  name text NOT NULL,
  price numeric(10,2) NOT NULL,
  stock int NOT NULL
);
CREATE TABLE orders (
  id bigserial PRIMARY KEY,
  customer_id int NOT NULL REFERENCES customers,
  status text NOT NULL DEFAULT 'placed',
  total numeric(12,2) NOT NULL DEFAULT 0,
  placed_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE order_items (
  order_id bigint NOT NULL REFERENCES orders ON DELETE CASCADE,
  line int NOT NULL,
  product_id int NOT NULL REFERENCES products,
  quantity int NOT NULL,
  unit_price numeric(10,2) NOT NULL,
  PRIMARY KEY (order_id, line)
);

INSERT INTO customers (name, email, city) VALUES
  ('Ada Lindqvist', 'ada@example.com', 'Uppsala'),
  ('Bruno Castro', 'bruno@example.com', 'Porto'),
  ('Chiara Moretti', 'chiara@example.com', NULL),
  ('Deniz Şahin', 'deniz@example.com', 'İzmir');
INSERT INTO products (sku, name, price, stock) VALUES
  ('TEA-GREEN', 'Green tea, 100 g', 7.90, 120),
  ('TEA-BLACK', 'Black tea, 100 g', 6.50, 200),
  ('POT-CLAY', 'Clay tea pot', 38.00, 25),
  ('CUP-GLASS', 'Double-walled glass cup', 12.40, 60),
  ('KETTLE-1L', 'Kettle, 1 litre', 54.95, 15);

CREATE PROCEDURE place_order() LANGUAGE plpgsql AS $$
DECLARE
  new_order bigint;
  item products;
  line int := 0;
BEGIN
  INSERT INTO orders (customer_id) SELECT id FROM customers ORDER BY random() LIMIT 1 RETURNING id INTO new_order;
  FOR item IN SELECT * FROM products WHERE stock > 3 ORDER BY random() LIMIT 1 + floor(random() * 2) LOOP
    line := line + 1;
    INSERT INTO order_items VALUES (new_order, line, item.id, 1 + floor(random() * 3), item.price);
  END LOOP;
  UPDATE products p SET stock = stock - i.quantity FROM order_items i WHERE i.order_id = new_order AND i.product_id = p.id;
  UPDATE orders SET total = (SELECT coalesce(sum(quantity * unit_price), 0) FROM order_items WHERE order_id = new_order)
    WHERE id = new_order;
END $$;

CREATE PROCEDURE step() LANGUAGE plpgsql AS $$
DECLARE
  dice float := random();
BEGIN
  IF dice < 0.45 THEN
    CALL place_order();
  ELSIF dice < 0.75 THEN
    UPDATE orders SET status = CASE status WHEN 'placed' THEN 'paid' ELSE 'shipped' END
      WHERE id = (SELECT min(id) FROM orders WHERE status IN ('placed', 'paid'));
  ELSIF dice < 0.85 THEN
    -- A cancelled order goes, and its items with it.
    DELETE FROM orders WHERE id = (SELECT max(id) FROM orders WHERE status = 'placed');
  ELSIF dice < 0.95 THEN
    UPDATE products SET stock = stock + 40 WHERE id = (SELECT id FROM products ORDER BY stock LIMIT 1);
  ELSE
    INSERT INTO customers (name, email) SELECT 'Customer ' || n, 'customer' || n || '@example.com'
      FROM (SELECT max(id) + 1 AS n FROM customers) next;
  END IF;
END $$;
