// Answers an X-ray with the file that takes pictures of any size, in C++ with OpenVINO (pip install openvino brings the
// headers and libraries). Reads a binary PGM, upright, which any decoder writes: djpeg -grayscale -pnm chest.jpeg > chest.pgm
//   ./predict model.any_size.onnx chest.pgm jpeg      (or: png, if the picture was no JPEG)
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <openvino/openvino.hpp>
#include <sstream>
#include <string>

int refuse(const std::string& words) { return std::cerr << words << "\n", 2; }

int main(int count, char** words) try {
  if (count != 4) return refuse("usage: predict MODEL.any_size.onnx PICTURE.pgm jpeg|png");
  std::ifstream file(words[2], std::ios::binary);
  std::string kind;
  std::size_t width = 0, height = 0, most = 0;
  if (!(file >> kind >> width >> height >> most) || kind != "P5" || most != 255 || !width || !height)
    return refuse(std::string(words[2]) + " is not a binary PGM of 8 bits");
  file.get();
  ov::Tensor image(ov::element::u8, {1, height, width, 1}), jpeg(ov::element::boolean, {1});
  if (!file.read(reinterpret_cast<char*>(image.data<uint8_t>()), width * height))
    return refuse(std::string(words[2]) + " is cut off; copy it again");
  jpeg.data<char>()[0] = std::strcmp(words[3], "jpeg") == 0;

  ov::Core core;
  auto model = core.read_model(words[1]);
  if (model->inputs().size() != 2) return refuse(std::string(words[1]) + " is not the file for pictures of any size (--any-size)");
  auto request = core.compile_model(model, "CPU", {ov::hint::inference_precision(ov::element::f32)}).create_infer_request();
  request.set_tensor("image", image);
  request.set_tensor("jpeg", jpeg);
  request.infer();
  const auto first = [&](const char* output) { return request.get_tensor(output).data<float>()[0]; };

  // The answer: the metadata of the ONNX file is the model's rt_info "framework".
  const auto has = [&](const char* key) { return model->has_rt_info("framework", key); };
  const auto text = [&](const char* key) { return model->get_rt_info<std::string>("framework", key); };
  const auto limit = [&](const char* key) { return std::stod(text(has(key) ? key : "threshold")); };
  std::istringstream classes(text("classes"));  // ["NORMAL", "PNEUMONIA"]
  std::string normal, pneumonia, between;
  for (auto part : {&between, &normal, &between, &pneumonia}) std::getline(classes, *part, '"');
  const double probability = first("probability");
  const std::string size = std::to_string(width) + " x " + std::to_string(height) + " pixels";
  std::string why;
  if (!has("certain_normal_below")) why = "";  // two answers
  else if (2 * std::min(width, height) < std::stoul(text("image_size"))) why = " (only " + size + ", fewer than X-ray detectors have)";
  else if (2 * width < height || width > 4 * height) why = " (" + size + " are not the shape of a chest X-ray)";
  const std::string answer = !why.empty() ? "UNSUITABLE"
      : has("familiarity_threshold") && first("familiarity") < limit("familiarity_threshold") ? "UNSUITABLE"
      : probability < limit("certain_normal_below") ? normal
      : probability >= limit("certain_pneumonia_from") ? pneumonia : "UNCERTAIN";
  std::printf("%.6f %s %s%s\n", probability, answer.c_str(), words[2], why.c_str());
} catch (const std::exception& error) {
  return refuse(std::string(words[1]) + ": " + error.what());
}
