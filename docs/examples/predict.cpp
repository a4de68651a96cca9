// Answers an X-ray with the file that takes pictures of any size, in C++ with OpenVINO (pip install openvino brings the
// headers and libraries). Reads a binary PGM, which any decoder writes: djpeg -grayscale -pnm chest.jpeg > chest.pgm
//   ./predict model.any_size.onnx chest.pgm jpeg      (or: png, if the picture was no JPEG)
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <openvino/openvino.hpp>
#include <string>

int main(int count, char** words) {
  if (count != 4) return std::cerr << "usage: predict MODEL.any_size.onnx PICTURE.pgm jpeg|png\n", 2;
  std::ifstream file(words[2], std::ios::binary);
  std::string kind;
  std::size_t width = 0, height = 0, most = 0;
  if (!(file >> kind >> width >> height >> most) || kind != "P5" || most != 255)
    return std::cerr << words[2] << " is not a binary PGM of 8 bits\n", 2;
  file.get();
  ov::Tensor image(ov::element::u8, {1, height, width, 1}), jpeg(ov::element::boolean, {1});
  file.read(reinterpret_cast<char*>(image.data<uint8_t>()), width * height);
  jpeg.data<char>()[0] = std::strcmp(words[3], "jpeg") == 0;
  auto request = ov::Core().compile_model(words[1], "CPU", {ov::hint::inference_precision(ov::element::f32)}).create_infer_request();
  request.set_tensor("image", image);
  request.set_tensor("jpeg", jpeg);
  request.infer();
  std::printf("%.6f\n", request.get_tensor("probability").data<float>()[0]);
}
